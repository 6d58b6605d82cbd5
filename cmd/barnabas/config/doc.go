// Package config is the noun `barnabas config`: configurations of topics and brokers, one file for each verb.
package config
