package replication

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// ahead bounds the requests of all groups to one node that are under way beside an earlier one of the same group.
const ahead = 16

// parcel is a request with entries that was written and not answered yet.
type parcel struct {
	request    raft.AppendEntriesRequest
	connection *wireConn // that was open before, nil: none
	sent       *outgoing
	ctx        context.Context
	cancel     context.CancelFunc
}

// abandon takes no answer any more.
func (s *parcel) abandon() {
	if s != nil {
		s.sent.forget()
		s.cancel()
	}
}

// append sends entries to a follower, in requests of about maxAppend bytes (docs/decisions/0017). While the follower stores one, the next is read, sent and checked. a.Entries is cut to what the
// follower took; an error behind that is left for raft to find again.
func (e *endpoint) append(node int32, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	e.matches.busy(node, true)
	defer e.matches.busy(node, false)
	p, rest, taken := e.node.network.peer(node), *a, 0
	under, err := e.send(p, &rest)
	for under != nil {
		next, free := e.sendAhead(p, &rest)
		var answer raft.AppendEntriesResponse
		err = e.outcome(p, under, &answer)
		free()
		if err == nil && (answer.Success || taken == 0) {
			*resp = answer
		}
		if err != nil || !answer.Success {
			next.abandon()
			break
		}
		taken += len(under.request.Entries)
		under = next
	}
	if err != nil && taken == 0 {
		return err
	}
	a.Entries = a.Entries[:taken]
	return nil
}

// sendAhead sends the next request if there is more to send and others are not too many. An error comes back at the next attempt.
func (e *endpoint) sendAhead(p *peer, rest *raft.AppendEntriesRequest) (next *parcel, free func()) {
	free = func() {}
	if len(rest.Entries) == 0 || !e.owner.leads(rest.Term, p.id) {
		return nil, free
	}
	select {
	case p.ahead <- struct{}{}:
		free = func() { <-p.ahead }
	default:
		return nil, free
	}
	next, _ = e.send(p, rest)
	return next, free
}

// send writes a request with as many entries as fit, which are read from the log now and taken from rest.
func (e *endpoint) send(p *peer, rest *raft.AppendEntriesRequest) (*parcel, error) {
	buffer := buffers.Get().(*[]byte)
	defer recycle(buffer)
	f := frame{b: beginRequest((*buffer)[:0], kindAppend, 0, e.group)}
	defer f.release()
	at := len(f.b)
	f.b = append(f.b, make([]byte, appendHeader)...)
	connection := p.lines[laneData].live()
	count, err := e.entries(&f, rest, connection != nil && connection.raw != nil)
	*buffer = f.b
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLocal, err)
	}
	encodeAppend(f.b[:at], rest, count)
	s := &parcel{request: *rest, connection: connection}
	s.request.Entries = rest.Entries[:count]
	if rest.Entries = rest.Entries[count:]; count > 0 {
		last := s.request.Entries[count-1]
		rest.PrevLogEntry, rest.PrevLogTerm = last.Index, last.Term
	}
	s.ctx, s.cancel = context.WithTimeout(e.node.network.ctx, appendTimeout)
	f.end()
	if s.sent, err = p.lines[laneData].send(s.ctx, e.done, &f); err != nil {
		s.cancel()
		if len(f.pieces) > 0 {
			e.reread(s.request.Entries)
		}
		return nil, err
	}
	return s, nil
}

// reread reads what could not be sent, so that a file that cannot be read stops its replica.
func (e *endpoint) reread(entries []*raft.Log) {
	var b []byte
	for _, l := range entries {
		_, b, _, _ = e.owner.hydrate(b[:0], l, false)
	}
}

// outcome waits for the answer.
func (e *endpoint) outcome(p *peer, s *parcel, resp *raft.AppendEntriesResponse) error {
	defer s.cancel()
	body, err := s.sent.wait(s.ctx, e.done)
	if err != nil {
		if g, ok := e.owner.(*Group); ok && errors.Is(err, errRemote) {
			g.verify(s.request.Entries)
		}
		return err
	}
	r := reader{b: body}
	r.taken(resp)
	if err := r.done(); err != nil || !resp.Success {
		return err
	}
	if s.connection != p.lines[laneData].live() {
		s.connection = nil
	}
	count := len(s.request.Entries)
	e.matches.set(p.id, s.connection, &s.request, count)
	if g, ok := e.owner.(*Group); ok && count > 0 {
		e.node.spreader.add(g) // these may be committed already, by the others
	}
	return nil
}

// entries encodes what fits into one request, reading the bytes from the log now, or, with attach, saying where they are.
func (e *endpoint) entries(f *frame, a *raft.AppendEntriesRequest, attach bool) (count int, err error) {
	for _, l := range a.Entries {
		if len(f.b)+f.attached >= maxAppend {
			break
		}
		at := len(f.b)
		k, b, chunk, err := e.owner.hydrate(beginEntry(f.b, l.Term, 0), l, attach)
		if err != nil {
			if count > 0 {
				break
			}
			return 0, fmt.Errorf("read entry %d: %w", l.Index, err)
		}
		f.b = b
		f.b[at+8] = byte(k)
		attached := 0
		if chunk != nil {
			attached = chunk.Size()
			f.align(at, chunk)
			f.attach(chunk)
		}
		endEntry(f.b, at, attached)
		count++
	}
	return count, nil
}
