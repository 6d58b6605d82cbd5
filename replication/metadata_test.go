package replication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/barnabas-log/barnabas/log"
)

// list is a metadata machine whose state is the list of its commands.
type list struct {
	toy
	items []string
}

func newList() *list { return &list{toy: *newToy()} }

func (l *list) Apply(_ log.Index, command []byte) any {
	var n int
	l.note(func() { l.items = append(l.items, string(command)); n = len(l.items) })
	return n
}
func (l *list) Snapshot() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return json.Marshal(l.items)
}
func (l *list) Restore(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items = nil
	return json.Unmarshal(b, &l.items)
}
func (l *list) Resign(leader int32) { l.toy.Resign(0, leader) }

func TestMetadataReturnsWhatApplyReturned(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		n, err := OpenNode(NodeOptions{NodeID: 1, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		l := newList()
		m, err := n.StartMetadata(MetadataOptions{Machine: l, Voters: []int32{1}})
		if err != nil {
			t.Fatal(err)
		}
		l.waitLead(t)
		if len(l.items) != round*20 {
			t.Errorf("leads with %d items, not %d", len(l.items), round*20)
		}
		var wg sync.WaitGroup
		seen := make([]bool, 20)
		var mu sync.Mutex
		for i := range 20 {
			wg.Go(func() {
				got, err := m.Propose(context.Background(), fmt.Appendf(nil, "%d-%d", round, i))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[got.(int)-1-round*20] = true
			})
		}
		wg.Wait()
		for i, ok := range seen {
			if !ok {
				t.Errorf("nobody got result %d", i)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Propose(context.Background(), []byte("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("propose after close: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMetadataRestoresItsSnapshot(t *testing.T) {
	dir := t.TempDir()
	var want string
	for round := range 2 {
		n, err := OpenNode(NodeOptions{NodeID: 1, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		l := newList()
		m, err := n.StartMetadata(MetadataOptions{Machine: l, Voters: []int32{1}, SnapshotEvery: 10})
		if err != nil {
			t.Fatal(err)
		}
		l.waitLead(t)
		if round == 1 {
			if got := fmt.Sprint(l.items); got != want {
				t.Errorf("state %s, want %s", got, want)
			}
			if first, _ := m.bolt.FirstIndex(); first <= 1 {
				t.Errorf("the log begins at %d: it was never shortened", first)
			}
		}
		for i := range 50 {
			if _, err := m.Propose(context.Background(), fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.raft.Load().Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprint(l.items)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMetadataRefusesWithoutLeadership(t *testing.T) {
	n := testNode(t)
	m, err := n.StartMetadata(MetadataOptions{Machine: newList(), Voters: []int32{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Propose(context.Background(), []byte("x")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose: %v", err)
	}
	if _, err := n.StartMetadata(MetadataOptions{Machine: newList()}); !errors.Is(err, ErrExists) {
		t.Errorf("second start: %v", err)
	}
}
