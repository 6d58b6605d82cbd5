package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// vote is what a group must not forget. On disk (bucket "votes", key: group id), big endian:
//
//	0        1               9               17
//	+--------+---------------+---------------+-----------
//	| 1      | current term  | voted in term | candidate
//	+--------+---------------+---------------+-----------
//
// Term and candidate of a vote are one value: raft writes them one after the other, and a crash in between would otherwise leave a vote for a candidate
// that never asked for it in that term.
type vote struct {
	term      uint64 // current term: may be behind on disk, see SetUint64
	votedTerm uint64
	candidate []byte
}

const voteVersion = 1

func (v vote) encode() []byte {
	b := make([]byte, 17, 17+len(v.candidate))
	b[0] = voteVersion
	binary.BigEndian.PutUint64(b[1:], v.term)
	binary.BigEndian.PutUint64(b[9:], v.votedTerm)
	return append(b, v.candidate...)
}

func decodeVote(b []byte) (vote, error) {
	if len(b) < 17 {
		return vote{}, fmt.Errorf("vote of %d bytes is too short", len(b))
	}
	if b[0] != voteVersion {
		return vote{}, fmt.Errorf("vote has version %d, this program knows %d", b[0], voteVersion)
	}
	v := vote{term: binary.BigEndian.Uint64(b[1:]), votedTerm: binary.BigEndian.Uint64(b[9:])}
	if len(b) > 17 {
		v.candidate = append([]byte(nil), b[17:]...)
	}
	return v, nil
}

var votesBucket = []byte("votes")

// voteStore keeps the votes of all groups of a node in one bolt file. Reads come from memory; the writes of many groups share a transaction.
type voteStore struct {
	db       *bbolt.DB
	writable func() error // asked before every write; nil: always

	mu      sync.Mutex
	votes   map[string]vote   // guarded by mu; what was promised, durable but for vote.term
	changes map[string][]byte // guarded by mu; nil value: delete
	waiters []chan error      // guarded by mu; one for each caller that waits for changes
	closed  bool              // guarded by mu

	kick chan struct{} // capacity 1: there is something to write
	done chan struct{} // closed when the writer has returned
}

// openVotes opens or creates the file.
func openVotes(path string) (*voteStore, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, fmt.Errorf("open votes %s: another process uses it", path)
		}
		return nil, fmt.Errorf("open votes %s: %w", path, err)
	}
	s := &voteStore{
		db: db, votes: map[string]vote{}, changes: map[string][]byte{},
		kick: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if err := s.load(); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open votes %s: %w", path, err)
	}
	go s.write()
	return s, nil
}

func (s *voteStore) load() error {
	exists := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(votesBucket)
		if b == nil {
			return nil
		}
		exists = true
		return b.ForEach(func(k, v []byte) error {
			decoded, err := decodeVote(v)
			if err != nil {
				return fmt.Errorf("group %q: %w", k, err)
			}
			s.votes[string(k)] = decoded
			return nil
		})
	})
	if err != nil || exists {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(votesBucket)
		return err
	})
}

// write commits what has gathered while the previous transaction was being synced, until the store is closed and nothing is left.
func (s *voteStore) write() {
	defer close(s.done)
	for range s.kick {
		s.mu.Lock()
		changes, waiters, closed := s.changes, s.waiters, s.closed
		s.changes, s.waiters = map[string][]byte{}, nil
		s.mu.Unlock()
		err := s.commit(changes)
		if err != nil {
			s.keep(changes)
		}
		for _, w := range waiters {
			w <- err
		}
		if closed {
			return
		}
	}
}

func (s *voteStore) commit(changes map[string][]byte) error {
	if len(changes) == 0 {
		return nil
	}
	if s.writable != nil {
		if err := s.writable(); err != nil {
			return fmt.Errorf("write votes: %w", err)
		}
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(votesBucket)
		for k, v := range changes {
			var err error
			if v == nil {
				err = b.Delete([]byte(k))
			} else {
				err = b.Put([]byte(k), v)
			}
			if err != nil {
				return fmt.Errorf("group %q: %w", k, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write votes: %w", err)
	}
	return nil
}

// keep puts changes that could not be written back, behind newer ones.
func (s *voteStore) keep(changes map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(changes, s.changes)
	s.changes = changes
}

// waitLocked asks for a transaction with all changes so far and waits for it. mu is held on entry and released.
func (s *voteStore) waitLocked() error {
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	w := make(chan error, 1)
	s.waiters = append(s.waiters, w)
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return <-w
}

// forget removes a group's vote for good.
func (s *voteStore) forget(group string) error {
	s.mu.Lock()
	delete(s.votes, group)
	s.changes[group] = nil
	return s.waitLocked()
}

// close writes what is left and closes the file.
func (s *voteStore) close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return nil
	}
	last := make(chan error, 1)
	s.waiters = append(s.waiters, last)
	s.closed = true
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
	err := <-last
	<-s.done
	return errors.Join(err, s.db.Close())
}

// stable is one group's raft.StableStore.
type stable struct {
	store *voteStore
	group string
	self  string
	// known is a term that the group's log proves: the current term is at least that.
	known uint64
	// voting is the term of a vote whose candidate is not written yet. Used by raft's main goroutine only.
	voting uint64
	// barred keeps a replica that has lost its log from voting for itself, and without mayVote for anybody (see recovering.go).
	barred  atomic.Bool
	mayVote bool
}

// The keys that raft uses.
const (
	keyTerm      = "CurrentTerm"
	keyVotedTerm = "LastVoteTerm"
	keyCandidate = "LastVoteCand"
)

// GetUint64 answers from memory.
func (s *stable) GetUint64(key []byte) (uint64, error) {
	s.store.mu.Lock()
	v := s.store.votes[s.group]
	s.store.mu.Unlock()
	var n uint64
	switch string(key) {
	case keyTerm:
		n = max(v.term, v.votedTerm, s.known)
	case keyVotedTerm:
		n = v.votedTerm
	default:
		return 0, fmt.Errorf("unknown key %q", key)
	}
	if n == 0 {
		return 0, errNotFound
	}
	return n, nil
}

// SetUint64 takes note. The current term is written with the next vote of any group, nobody waits for it: what this node promised in a term is in its vote
// or in the entries that it stored, both durable, and a term that neither knows may be forgotten. (Raft panics when it cannot write the
// term, which must not happen to a broker whose disk is full.) The term of a vote waits for its candidate.
func (s *stable) SetUint64(key []byte, n uint64) error {
	switch string(key) {
	case keyTerm:
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		v := s.store.votes[s.group]
		if v.term == n || s.store.closed {
			return nil
		}
		v.term = n
		s.store.votes[s.group] = v
		s.store.changes[s.group] = v.encode()
		return nil
	case keyVotedTerm:
		s.voting = n
		return nil
	}
	return fmt.Errorf("unknown key %q", key)
}

// Get answers from memory.
func (s *stable) Get(key []byte) ([]byte, error) {
	if string(key) != keyCandidate {
		return nil, fmt.Errorf("unknown key %q", key)
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	v := s.store.votes[s.group]
	if v.candidate == nil {
		return nil, errNotFound
	}
	return v.candidate, nil
}

// Set makes a vote durable, candidate and term together.
func (s *stable) Set(key, value []byte) error {
	if string(key) != keyCandidate {
		return fmt.Errorf("unknown key %q", key)
	}
	if s.barredFrom(value) {
		return errBarred
	}
	s.store.mu.Lock()
	v := s.store.votes[s.group]
	oldTerm, oldCandidate := v.votedTerm, v.candidate
	v.votedTerm, v.candidate = s.voting, append([]byte(nil), value...)
	// In memory at once: the heartbeat path may write the term meanwhile, and must not write the old vote with it.
	s.store.votes[s.group] = v
	s.store.changes[s.group] = v.encode()
	err := s.store.waitLocked()
	if err == nil {
		return nil
	}
	// Nobody was told of this vote; that it may reach the disk later only makes this node more careful.
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	v = s.store.votes[s.group]
	v.votedTerm, v.candidate = oldTerm, oldCandidate
	s.store.votes[s.group] = v
	return err
}

// stood says whether this node voted for itself in term: without that it cannot have been elected.
func (s *stable) stood(term uint64) bool {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	v := s.store.votes[s.group]
	return v.votedTerm == term && string(v.candidate) == s.self
}
