// Package e2e drives a real broker process with real Kafka clients: franz-go, sarama, kafka-go, kafkajs, kcat, confluent-kafka
// and kafka-python, Kafka's Java client and Kafka's own command-line tools.
//
// It has tests only. They build the broker's binary themselves and start it on a free port; test/README.md says how to run them
// against another broker, and how to run one client by hand. A client whose runtime is not installed is skipped, unless CI=true.
package e2e
