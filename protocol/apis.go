package protocol

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// handler answers one request. The response is encoded after it returns. An error closes the connection, with the error as the reason in the
// log: it is for requests that no reply can answer (malformed, out of order), not for refusals, which travel as error codes in the response.
//
// ctx ends when the server shuts down, and, for rows flagged waits, when the client hangs up. The request's strings and byte slices are its own
// (copies) in every API but Produce and Fetch: a handler may keep them.
type handler func(s *Server, ctx context.Context, c *call) (kmsg.Response, error)

// flags of an API.
type flags uint8

const (
	// waits marks an API that may hold its caller for a long time (a long poll, a rebalance): its context ends when the client hangs up.
	waits flags = 1 << iota
	// unauthenticated marks an API that is answered before a client has said who it is.
	unauthenticated
)

// api is one row of the table. Exactly one of handle and begin is set.
type api struct {
	key      int16
	min, max int16 // versions advertised
	handle   handler
	flags    flags

	// begin handles a request whose reply is not a plain kmsg response: Produce, which is pipelined, and Fetch, which sends files. It owns
	// the frame, and the request's strings are valid as long as the frame only.
	begin func(s *Server, ctx context.Context, c *call, f *frame) error
}

// apis is every API that this server serves, with exactly the versions that it advertises. One row an API, by key; the handler lives in the file
// named after the API. What is not here is unknown: the connection is closed, as in Kafka.
//
// Versions are those of Kafka 4.4, and older ones where old clients need them (kafkajs and kafka-go look at the maximum only).
var apis = []api{
	{key: 0, min: 0, max: maxProduce, begin: (*Server).produce},
	{key: 1, min: 4, max: 18, begin: (*Server).fetch},
	{key: 2, min: 0, max: 11, handle: (*Server).listOffsets},
	{key: 3, min: 0, max: 13, handle: (*Server).metadata},
	{key: 8, min: 0, max: 10, handle: (*Server).offsetCommit},
	{key: 9, min: 0, max: 10, handle: (*Server).offsetFetch},
	{key: 10, min: 0, max: 6, handle: (*Server).findCoordinator},
	{key: 11, min: 0, max: 9, handle: (*Server).joinGroup, flags: waits},
	{key: 12, min: 0, max: 4, handle: (*Server).heartbeat},
	{key: 13, min: 0, max: 5, handle: (*Server).leaveGroup},
	{key: 14, min: 0, max: 5, handle: (*Server).syncGroup, flags: waits},
	{key: 15, min: 0, max: 6, handle: (*Server).describeGroups},
	{key: 16, min: 0, max: 5, handle: (*Server).listGroups},
	{key: 18, min: 0, max: 5, handle: (*Server).apiVersions, flags: unauthenticated},
	{key: 19, min: 0, max: 7, handle: (*Server).createTopics},
	{key: 20, min: 0, max: 6, handle: (*Server).deleteTopics},
	{key: 21, min: 0, max: 2, handle: (*Server).deleteRecords, flags: waits},
	{key: 22, min: 0, max: 5, handle: (*Server).initProducerID},
	{key: 23, min: 0, max: 4, handle: (*Server).offsetForLeaderEpoch},
	{key: 32, min: 0, max: 4, handle: (*Server).describeConfigs},
	{key: 33, min: 0, max: 2, handle: (*Server).alterConfigs},
	{key: 34, min: 1, max: 2, handle: (*Server).alterReplicaLogDirs},
	{key: 35, min: 0, max: 5, handle: (*Server).describeLogDirs},
	{key: 37, min: 0, max: 3, handle: (*Server).createPartitions},
	{key: 42, min: 0, max: 3, handle: (*Server).deleteGroups},
	{key: 43, min: 0, max: 2, handle: (*Server).electLeaders, flags: waits},
	{key: 44, min: 0, max: 1, handle: (*Server).incrementalAlterConfigs},
	{key: 45, min: 0, max: 1, handle: (*Server).alterPartitionReassignments, flags: waits},
	{key: 46, min: 0, max: 0, handle: (*Server).listPartitionReassignments},
	{key: 47, min: 0, max: 0, handle: (*Server).offsetDelete},
	{key: 55, min: 0, max: 2, handle: (*Server).describeQuorum},
	{key: 60, min: 0, max: 2, handle: (*Server).describeCluster},
	{key: 61, min: 0, max: 0, handle: (*Server).describeProducers},
	{key: 64, min: 0, max: 0, handle: (*Server).unregisterBroker},
	{key: 75, min: 0, max: 0, handle: (*Server).describeTopicPartitions},
	{key: 80, min: 0, max: 1, handle: (*Server).addRaftVoter, flags: waits},
	{key: 81, min: 0, max: 0, handle: (*Server).removeRaftVoter, flags: waits},
}

// Served is one API as ApiVersions lists it.
type Served struct {
	Key      int16
	Name     string // Kafka's
	Min, Max int16
}

// APIs is what this server serves, by key: for the documentation and the tests that hold it to its word.
func APIs() []Served {
	served := make([]Served, len(apis))
	for i, a := range apis {
		served[i] = Served{Key: a.key, Name: kafkaName(a.key), Min: a.min, Max: a.max}
	}
	return served
}

// kafkaName is an API's name as Kafka writes it: kmsg follows Go's way with initials (InitProducerID), and has its own word for reassignments.
func kafkaName(key int16) string {
	name := strings.ReplaceAll(kmsg.NameForKey(key), "ID", "Id")
	return strings.Replace(name, "AlterPartitionAssignments", "AlterPartitionReassignments", 1)
}

// byKey indexes apis. It is built once, before any connection.
func byKey(rows []api) map[int16]*api {
	m := make(map[int16]*api, len(rows))
	for i := range rows {
		m[rows[i].key] = &rows[i]
	}
	return m
}
