package protocol

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dispatch handles one request and sees to its reply. It owns the frame. An error ends the connection.
func (s *Server) dispatch(c *conn, f *frame) error {
	h, rest, err := parseHeader(f.bytes)
	if err != nil {
		f.release()
		return err
	}
	row := s.table[h.key]
	switch {
	case row == nil:
		f.release()
		return fmt.Errorf("request with API key %d: not served here", h.key)
	case h.version < row.min || h.version > row.max:
		f.release()
		if h.key == keyApiVersions {
			return s.rejectApiVersions(c, h)
		}
		return fmt.Errorf("request with API key %d: version %d is not served, %d to %d are", h.key, h.version, row.min, row.max)
	}
	figures, received := s.metrics.of(row), time.Now()
	figures.came(h.version, f.size+4)
	request := c.requestFor(row)
	request.SetVersion(h.version)
	id, body, err := parseClient(rest, request.IsFlexible())
	if err == nil {
		err = s.decode(c, f, row, request, body)
	}
	if err != nil {
		f.release()
		return fmt.Errorf("%s version %d: %w", kmsg.NameForKey(h.key), h.version, err)
	}
	in := &call{
		api: row, version: h.version, correlation: h.correlation, clientID: c.clientID(id), host: c.host, listener: c.listener,
		request: request, received: received, conn: c, metrics: figures,
	}
	if row.begin != nil {
		return row.begin(s, c.ctx, in, f)
	}
	err = s.handle(in)
	f.discharge()
	return err
}

// decode checks a body against the shape of its version and the memory that its decoded form takes, and decodes it.
func (s *Server) decode(c *conn, f *frame, row *api, request kmsg.Request, body []byte) error {
	cost, err := s.shapes.of(row.key, request.GetVersion()).scan(body)
	if err != nil {
		return err
	}
	if cost > int64(s.opts.MaxRequestBytes) {
		return fmt.Errorf("decoded it would take %d bytes, the limit is %d", cost, s.opts.MaxRequestBytes)
	}
	if cost > smallFrame {
		if err := f.reserve(c.ctx, int64(f.size)+cost); err != nil {
			return err
		}
	}
	if unsafe, ok := request.(kmsg.UnsafeReadFrom); ok && row.begin != nil {
		return unsafe.UnsafeReadFrom(body)
	}
	return request.ReadFrom(body)
}

// handle answers a request whose reply is a kmsg response, once the produces before it were answered.
func (s *Server) handle(c *call) error {
	if err := c.conn.drain(); err != nil {
		return err
	}
	ctx := c.conn.ctx
	stop := func() {}
	if c.api.flags&waits != 0 {
		ctx, stop = c.conn.untilHangup(ctx)
	}
	resp, err := c.api.handle(s, ctx, c)
	stop()
	if err != nil {
		return fmt.Errorf("%s version %d: %w", kmsg.NameForKey(c.api.key), c.version, err)
	}
	return s.reply(c, resp)
}

// reply encodes and writes a response, and keeps a client that is over its quota waiting afterwards.
func (s *Server) reply(c *call, resp kmsg.Response) error {
	pause := s.throttle(c)
	if t, ok := resp.(kmsg.SetThrottleResponse); ok && pause > 0 {
		t.SetThrottle(int32(pause.Milliseconds()))
	}
	buffer := newBuffer(4 << 10)
	b := appendResponse(buffer.b[:0], c.correlation, resp)
	err := c.conn.write(b)
	if cap(b) > cap(buffer.b) && cap(b) <= maxKeptReply {
		buffer.b = b
	}
	buffer.free()
	if err != nil {
		return err
	}
	c.metrics.answered(c.received, len(b))
	c.metrics.failures(resp)
	c.conn.mute(pause)
	return nil
}

// maxKeptReply bounds the reply buffers that are kept for later.
const maxKeptReply = 1 << 20

// appendResponse appends a whole reply: size, header, body. The header has tags when the response is flexible, but never for ApiVersions,
// which a client must understand before it knows what the server speaks.
func appendResponse(dst []byte, correlation int32, resp kmsg.Response) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if resp.IsFlexible() && resp.Key() != keyApiVersions {
		dst = append(dst, 0)
	}
	dst = resp.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// throttle is how long the client of c must pause before its next request is read. There are no quotas yet, so nobody pauses.
func (s *Server) throttle(*call) time.Duration { return 0 }

// requestFor is the message to decode a request into. Produce and Fetch come often, and nothing refers to the message once begin has returned.
func (c *conn) requestFor(row *api) kmsg.Request {
	switch row.key {
	case keyProduce:
		return &c.produceRequest
	case keyFetch:
		return &c.fetchRequest
	}
	return kmsg.RequestForKey(row.key)
}

// clientID is the client id as a string; it hardly ever changes on a connection.
func (c *conn) clientID(id []byte) string {
	if string(id) != c.lastClientID {
		c.lastClientID = string(id)
	}
	return c.lastClientID
}

// Keys of the APIs that the front end itself must tell apart.
const (
	keyProduce     int16 = 0
	keyFetch       int16 = 1
	keyApiVersions int16 = 18
)
