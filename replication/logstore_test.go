package replication

import (
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// slowStorage holds whoever reads an entry's bytes, as a disk does with those of an old segment.
type slowStorage struct {
	storage
	reading, release chan struct{}
}

func (s *slowStorage) Data(dst []byte, m log.Meta) ([]byte, error) {
	s.reading <- struct{}{}
	<-s.release
	return dst, nil
}

// A follower that was away reads what is no longer in memory. What is stored meanwhile does not wait for that.
func TestReadingForAFollowerHoldsNoAppendUp(t *testing.T) {
	slow := &slowStorage{reading: make(chan struct{}), release: make(chan struct{})}
	s := &logStore{log: slow}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = s.data(nil, log.Meta{Index: 1})
	}()
	<-slow.reading
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		s.remember([]log.Meta{{Index: 7}})
		s.applied(7)
	}()
	select {
	case <-stored:
	case <-time.After(10 * time.Second):
		t.Error("an append waits for a reader")
	}
	closed := make(chan struct{})
	go func() { defer close(closed); s.close() }()
	select {
	case <-closed:
		t.Error("closed while somebody reads")
	case <-time.After(20 * time.Millisecond):
	}
	close(slow.release)
	<-read
	<-stored
	<-closed
}
