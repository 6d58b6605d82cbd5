// Package cluster is the noun `barnabas cluster`: one file for each verb.
package cluster
