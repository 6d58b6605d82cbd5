// Package metadata is the cluster's state: topics, assignments, configurations, brokers, producer-id blocks.
//
// # Shape
//
// A command (commands.go) is proposed to the metadata group. When it is committed, every node hands it to its State, which builds the next Image from the one
// before (step.go: a pure function, no clock, no randomness, no I/O) and publishes it behind an atomic pointer. Readers hold an Image as long as they like; it
// never changes. Everything that has to be chosen (topic ids, placement, defaults) is chosen by the Controller before it proposes, and is part of the command.
//
// # What a caller may rely on
//
//   - An Image is consistent: all of it belongs to the same index of the metadata log.
//   - Apply checks again whatever another controller may have changed since the Controller looked; a command that lost the race is refused with the same
//     error code, and changes nothing.
//   - A command is applied wholly or not at all, except CreateTopics, which is many independent commands in one entry: each topic has its own outcome.
//   - A command that this binary does not understand (a newer one wrote it) freezes the State at the last index that it did understand: skipping it would let
//     replicas part ways. Err says why, later commands are refused, no snapshot is taken, and a newer binary continues from the log.
//
// Code goes over the wire in *Error: the Kafka error code that belongs to a refusal, and Kafka's wording where clients match on it.
package metadata
