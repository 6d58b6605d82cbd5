// Command goclient drives the Kafka clients that are written in Go from the command line: franz-go, sarama and kafka-go.
//
//	goclient franz-go|sarama|kafka-go BROKERS produce|consume|group TOPIC [name=value ...]
//
// test/README.md describes the verbs, their options and the lines they read and write.
package main

import (
	"context"
	"fmt"
	"os"
)

// client is what each library is wrapped in. Records come from standard input and go to standard output, one JSON line each.
type client interface {
	produce(ctx context.Context, records <-chan record) error
	consume(ctx context.Context, from position, partition, count int) error
	group(ctx context.Context, name string, leave <-chan struct{}) error
	// errorCode returns Kafka's code for the error, if it has one.
	errorCode(err error) (int, bool)
}

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: goclient franz-go|sarama|kafka-go BROKERS produce|consume|group TOPIC [name=value ...]")
		os.Exit(2)
	}
	settings := parseSettings(os.Args[2], os.Args[4], os.Args[5:])
	var chosen client
	switch os.Args[1] {
	case "franz-go":
		chosen = &franzClient{settings}
	case "sarama":
		chosen = &saramaClient{settings}
	case "kafka-go":
		chosen = &segmentClient{settings}
	default:
		fmt.Fprintf(os.Stderr, "unknown library %q\n", os.Args[1])
		os.Exit(2)
	}
	if err := run(chosen, os.Args[3], settings); err != nil {
		line := errorLine{Error: err.Error()}
		if code, known := chosen.errorCode(err); known {
			line.Code = &code
		}
		emit(line)
		os.Exit(1)
	}
}

func run(chosen client, verb string, settings settings) error {
	ctx := context.Background()
	switch verb {
	case "produce":
		return chosen.produce(ctx, readRecords(os.Stdin))
	case "consume":
		return chosen.consume(ctx, settings.position(), settings.number("partition", -1), settings.number("count", 0))
	case "group":
		return chosen.group(ctx, settings.text("group", ""), closed(os.Stdin))
	}
	return fmt.Errorf("unknown verb %q", verb)
}
