package protocol

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
	metrics     *apiMetrics
}

// client is who asks, for the group coordinator.
func (c *call) client() consumergroup.Client {
	return consumergroup.Client{ID: c.clientID, Host: c.host}
}

// within gives a context that ends after a request's own timeout, in milliseconds, counted from when it arrived.
func (c *call) within(ctx context.Context, timeoutMillis int32) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, c.received.Add(time.Duration(timeoutMillis)*time.Millisecond))
}
