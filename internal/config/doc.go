// Package config is what can be configured: Kafka's topic-level and broker configurations with their types, defaults, bounds and synonyms, and a server's
// configuration as read from a server.properties file, the environment and the command line.
//
// One table (topic_table.go, server_table.go, group_table.go) is the truth: validation, DescribeConfigs, the typed views and docs/configuration.md all come from
// it. Each definition says honestly whether this server acts on it (Effect).
//
// The package knows nothing of the wire or of the cluster's state. internal/broker converts its rows and hands it the dynamic values.
//
//go:generate go test . -run TestConfigurationPageIsCurrent -rewrite
package config
