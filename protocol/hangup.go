package protocol

import (
	"context"
	"time"
)

// untilHangup gives a context that also ends when the client hangs up or the server begins to close, for a request that waits. stop must be
// called before the connection is read again; it waits for the goroutine that watches.
//
// Watching is a peek at the socket that waits in the network poller. When the client has sent its next request already, a hang-up behind it cannot
// be seen, and the wait takes its full time.
func (c *conn) untilHangup(ctx context.Context) (waiting context.Context, stop func()) {
	waiting, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(c.server.open, cancel)
	done := make(chan struct{})
	if c.raw == nil || c.r.Buffered() > 0 || c.nc.SetReadDeadline(time.Time{}) != nil {
		close(done)
		return waiting, func() { unhook(); cancel() }
	}
	go func() {
		defer close(done)
		if hungUp(c.raw) {
			cancel()
		}
	}()
	return waiting, func() {
		unhook()
		cancel()
		c.nudge() // wakes the watcher; the next read sets its own deadline
		<-done
	}
}
