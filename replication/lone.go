package replication

import "github.com/hashicorp/raft"

// LoneConfiguration is the configuration, as the log stores it, of a group in which this node alone votes.
func LoneConfiguration(node int32) []byte {
	return raft.EncodeConfiguration(configurationOf([]int32{node}))
}
