// Package protocol is the Kafka wire.
package protocol
