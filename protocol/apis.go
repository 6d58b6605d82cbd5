package protocol

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// handler answers one request. The response is encoded after it returns. An error closes the connection, with the error as the reason in the
// log: it is for requests that no reply can answer (malformed, out of order), not for refusals, which travel as error codes in the response.
//
// ctx ends when the server shuts down, and, for rows flagged waits, when the client hangs up. The request's strings and byte slices are its own
// (copies) in every API but Produce and Fetch: a handler may keep them.
type handler func(s *Server, ctx context.Context, c *call) (kmsg.Response, error)

// call is one request in hand.
type call struct {
	api         *api
	version     int16
	correlation int32
	clientID    string       // "" when the client gave none
	host        string       // of the client, as Kafka prints it: "/127.0.0.1"
	listener    string       // name of the listener that the request arrived on: PLAINTEXT
	request     kmsg.Request // decoded at version
	received    time.Time
	conn        *conn // nil in unit tests of handlers
}

// client is who asks, for the group coordinator.
func (c *call) client() consumergroup.Client {
	return consumergroup.Client{ID: c.clientID, Host: c.host}
}

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

	// begin starts a request whose reply is not a plain kmsg response: Produce, which is pipelined, and Fetch, which sends files.
	begin func(s *Server, ctx context.Context, c *call, f *frame) (reply, error)
}

// apis is every API that this server serves, with exactly the versions that it advertises. One row an API, by key; the handler lives in the file
// named after the API. What is not here is unknown: the connection is closed, as in Kafka.
//
// Versions are those of Kafka 4.4, and older ones where old clients need them (kafkajs and kafka-go look at the maximum only).
var apis = []api{
	{key: 18, min: 0, max: 5, handle: (*Server).apiVersions, flags: unauthenticated},
}

// byKey indexes apis. It is built once, before any connection.
func byKey(rows []api) map[int16]*api {
	m := make(map[int16]*api, len(rows))
	for i := range rows {
		m[rows[i].key] = &rows[i]
	}
	return m
}
