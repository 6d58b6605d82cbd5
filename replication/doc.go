// Package replication contains hashicorp/raft: the only code that imports it.
package replication
