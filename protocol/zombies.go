package protocol

import "sync"

// zombies are produces whose outcome nobody waits for any more (they timed out, or the client left) but whose frame a partition still refers to.
// They keep their charge on the budget, so that a stalled partition cannot pile up memory.
type zombies struct {
	mu sync.Mutex
	// mu guards following.
	parked  []*produceReply
	running bool
}

// park takes over r and releases its frame once every partition has let go of it. Shutdown does not wait for that.
func (s *Server) park(r *produceReply) {
	z := &s.zombies
	z.mu.Lock()
	defer z.mu.Unlock()
	z.parked = append(z.parked, r)
	if !z.running {
		z.running = true
		s.group.Add(1) // the caller belongs to a connection, so the group is not at zero
		go s.bury()
	}
}

// bury waits for the parked produces, one after the other, and ends when there is none.
func (s *Server) bury() {
	defer s.group.Done()
	for {
		s.zombies.mu.Lock()
		if len(s.zombies.parked) == 0 {
			s.zombies.running = false
			s.zombies.mu.Unlock()
			return
		}
		r := s.zombies.parked[0]
		s.zombies.parked = s.zombies.parked[1:]
		s.zombies.mu.Unlock()
		s.outlast(r)
	}
}

// outlast waits until r is settled, or the server closes, and releases its frame.
func (s *Server) outlast(r *produceReply) {
	for i := range r.appends {
		select {
		case <-r.appends[i].pending.Done():
		case <-s.open.Done():
		}
	}
	r.frame.discharge()
}
