package replication

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

func testVotes(t testing.TB, path string) *voteStore {
	t.Helper()
	s, err := openVotes(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func cast(t testing.TB, s *stable, term uint64, candidate string) {
	t.Helper()
	if err := s.SetUint64([]byte(keyTerm), term); err != nil {
		t.Error(err)
	}
	if err := s.SetUint64([]byte(keyVotedTerm), term); err != nil {
		t.Error(err)
	}
	if err := s.Set([]byte(keyCandidate), []byte(candidate)); err != nil {
		t.Error(err)
	}
}

func TestVotesSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "votes.bolt")
	s := testVotes(t, path)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			cast(t, &stable{store: s, group: fmt.Sprint(i)}, uint64(i+1), "7")
		})
	}
	wg.Wait()
	if err := s.forget("3"); err != nil {
		t.Fatal(err)
	}
	// as after a crash: nothing is closed in an orderly way, the file is read by another handle
	copied := filepath.Join(t.TempDir(), "copy.bolt")
	if err := s.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(copied, 0o600) }); err != nil {
		t.Fatal(err)
	}
	s = testVotes(t, copied)
	for i := range 50 {
		g := &stable{store: s, group: fmt.Sprint(i)}
		term, err := g.GetUint64([]byte(keyVotedTerm))
		candidate, err2 := g.Get([]byte(keyCandidate))
		current, _ := g.GetUint64([]byte(keyTerm))
		if i == 3 {
			if err == nil || err.Error() != "not found" || err2 == nil || err2.Error() != "not found" {
				t.Errorf("forgotten group: %v, %v", err, err2)
			}
			continue
		}
		if term != uint64(i+1) || string(candidate) != "7" || current != term {
			t.Errorf("group %d: term %d, candidate %q, current %d", i, term, candidate, current)
		}
	}
}

// Term and candidate are one value: a crash between raft's two writes leaves the old vote whole (trap 7).
func TestVoteIsOneValue(t *testing.T) {
	s := testVotes(t, filepath.Join(t.TempDir(), "votes.bolt"))
	g := &stable{store: s, group: "a"}
	cast(t, g, 1, "1")
	if err := g.SetUint64([]byte(keyVotedTerm), 2); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.bolt")
	if err := s.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(copied, 0o600) }); err != nil {
		t.Fatal(err)
	}
	after := &stable{store: testVotes(t, copied), group: "a"}
	term, _ := after.GetUint64([]byte(keyVotedTerm))
	candidate, _ := after.Get([]byte(keyCandidate))
	if term != 1 || string(candidate) != "1" {
		t.Errorf("after a crash in the middle: term %d, candidate %q", term, candidate)
	}
}

// A term that the heartbeat path writes while a vote is under way must not take the old vote to the disk with it.
func TestTermBesideAVoteUnderWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "votes.bolt")
	s := testVotes(t, path)
	g := &stable{store: s, group: "a"}
	var wg sync.WaitGroup
	for term := uint64(1); term <= 100; term++ {
		wg.Go(func() { _ = g.SetUint64([]byte(keyTerm), term+1) })
		cast(t, g, term, fmt.Sprint(term))
		wg.Wait()
		err := s.db.View(func(tx *bbolt.Tx) error {
			v, err := decodeVote(tx.Bucket(votesBucket).Get([]byte("a")))
			if err == nil && v.votedTerm != term {
				t.Errorf("vote of term %d on disk, not %d", v.votedTerm, term)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFailedVoteIsNotGiven(t *testing.T) {
	s := testVotes(t, filepath.Join(t.TempDir(), "votes.bolt"))
	g := &stable{store: s, group: "a", self: "1"}
	cast(t, g, 1, "1")
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	_ = g.SetUint64([]byte(keyVotedTerm), 2)
	if err := g.Set([]byte(keyCandidate), []byte("1")); err == nil {
		t.Fatal("a vote was given without being written")
	}
	if g.stood(2) || !g.stood(1) {
		t.Error("the failed vote counts")
	}
}

func TestTermIsAtLeastWhatVoteAndLogProve(t *testing.T) {
	s := testVotes(t, filepath.Join(t.TempDir(), "votes.bolt"))
	g := &stable{store: s, group: "a", known: 9}
	if term, err := g.GetUint64([]byte(keyTerm)); term != 9 || err != nil {
		t.Errorf("term %d, %v", term, err)
	}
	g.known = 0
	if _, err := g.GetUint64([]byte(keyTerm)); err == nil || err.Error() != "not found" {
		t.Errorf("unknown term: %v", err)
	}
}

func TestVotesOfANewerVersionAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "votes.bolt")
	s := testVotes(t, path)
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(votesBucket).Put([]byte("a"), append([]byte{voteVersion + 1}, make([]byte, 20)...))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openVotes(path); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("opened: %v", err)
	}
}

func FuzzDecodeVote(f *testing.F) {
	f.Add(vote{term: 1, votedTerm: 2, candidate: []byte("3")}.encode())
	f.Add([]byte{})
	// Properties: no panic; what decodes encodes to the same bytes.
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeVote(b)
		if err == nil && !bytes.Equal(v.encode(), b) {
			t.Errorf("%x became %x", b, v.encode())
		}
	})
}

func BenchmarkVotesOfManyGroups(b *testing.B) {
	s := testVotes(b, filepath.Join(b.TempDir(), "votes.bolt"))
	for i := 0; b.Loop(); i++ {
		var wg sync.WaitGroup
		for k := range 1000 {
			wg.Go(func() { cast(b, &stable{store: s, group: fmt.Sprint(k)}, uint64(i+1), "1") })
		}
		wg.Wait()
	}
}
