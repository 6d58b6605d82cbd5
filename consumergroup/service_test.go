package consumergroup

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

func TestPartitionForIsKafkas(t *testing.T) {
	s := NewService(Options{})
	defer s.Close()
	// Computed by Java: Math.abs(group.hashCode()) % 50.
	for group, want := range map[string]struct {
		hash      int32
		partition int32
	}{
		"":                   {0, 0},
		"a":                  {97, 47},
		"test":               {3556498, 48},
		"hello":              {99162322, 22},
		"Hello World":        {-862545276, 26},
		"polygenelubricants": {-1 << 31, 0},
		"Aa":                 {2112, 12},
		"BB":                 {2112, 12},
		"é":                  {233, 33},
		"😀":                  {55357*31 + 56832, 49},
	} {
		if got := javaHash(group); got != want.hash {
			t.Errorf("hash of %q is %d, want %d", group, got, want.hash)
		}
		if got := s.PartitionFor(group); got != want.partition {
			t.Errorf("partition of %q is %d, want %d", group, got, want.partition)
		}
	}
}

// inOnePartition runs f in virtual time, on a service with one partition in memory that this node leads.
func inOnePartition(t *testing.T, f func(t *testing.T, s *Service, n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := openNode(t, vfs.NewMemory(), "data")
		s := NewService(Options{Partitions: 1})
		s.Lead(0, n.p, int32(n.term))
		synctest.Wait()
		f(t, s, n)
		s.Close()
		n.stop()
	})
}

// restart closes partition and service, and opens them again on what is on the file system.
func restart(s *Service, n *node) {
	s.Resign(0)
	synctest.Wait()
	n.stop()
	n.open()
	s.Lead(0, n.p, int32(n.term))
	synctest.Wait()
}

func joinRequest(member string) JoinRequest {
	return JoinRequest{
		Client: Client{ID: "c", Host: "/127.0.0.1"}, Group: "g", MemberID: member, ProtocolType: consumerType,
		Protocols: []Protocol{{Name: "range", Metadata: subscription("t")}}, SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute,
	}
}

func TestAGroupLivesOnThroughARestartOfThePartition(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, n *node) {
		joined := s.Join(t.Context(), joinRequest(""))
		if joined.Code != codeNone || joined.Leader != joined.MemberID {
			t.Fatalf("join: %+v", joined)
		}
		synced := s.Sync(t.Context(), SyncRequest{Group: "g", Generation: 1, MemberID: joined.MemberID, Assignments: map[string][]byte{joined.MemberID: []byte("all")}})
		if string(synced.Assignment) != "all" {
			t.Fatalf("sync: %+v", synced)
		}
		for i := range int64(100) {
			codes := s.Commit(t.Context(), CommitRequest{Group: "g", Generation: 1, MemberID: joined.MemberID, Retention: -1, Offsets: []CommitOffset{
				{TopicPartition{"t", 0}, Offset{Offset: i, LeaderEpoch: 1, Metadata: "x"}}, {TopicPartition{"t", 1}, Offset{Offset: 2 * i, LeaderEpoch: -1}},
			}})
			if len(codes) != 2 || codes[0] != codeNone || codes[1] != codeNone {
				t.Fatalf("commit: %v", codes)
			}
		}
		restart(s, n)
		if code := s.Heartbeat(t.Context(), HeartbeatRequest{Group: "g", Generation: 1, MemberID: joined.MemberID}); code != codeNone {
			t.Errorf("heartbeat after the restart: %s", name(code))
		}
		offsets, code := s.Fetch(t.Context(), FetchRequest{Group: "g", MemberEpoch: -1})
		want := "[{{t 0} {99 1 x} 0} {{t 1} {198 -1 } 0}]"
		if got := fmt.Sprint(offsets); code != codeNone || got != want {
			t.Errorf("fetched %s, %s; want %s", got, name(code), want)
		}
		if d := s.Describe(t.Context(), "g"); d.State != "Stable" || len(d.Members) != 1 || string(d.Members[0].Assignment) != "all" {
			t.Errorf("described %+v", d)
		}
	})
}

func TestCodesWhenTheCoordinatorIsElsewhere(t *testing.T) {
	s := NewService(Options{})
	defer s.Close()
	ctx := t.Context()
	if c := s.Join(ctx, joinRequest("m")); c.Code != codeNotCoordinator || c.MemberID != "m" {
		t.Errorf("join %+v", c)
	}
	if c := s.Sync(ctx, SyncRequest{Group: "g"}); c.Code != codeNotCoordinator {
		t.Errorf("sync %+v", c)
	}
	if c := s.Heartbeat(ctx, HeartbeatRequest{Group: "g"}); c != codeNotCoordinator {
		t.Errorf("heartbeat %d", c)
	}
	if c := s.Leave(ctx, LeaveRequest{Group: "g", Members: make([]LeavingMember, 2)}); c.Code != codeNotCoordinator || len(c.Members) != 2 {
		t.Errorf("leave %+v", c)
	}
	if c := s.Commit(ctx, CommitRequest{Group: "g", Offsets: make([]CommitOffset, 2)}); fmt.Sprint(c) != "[16 16]" {
		t.Errorf("commit %v", c)
	}
	if _, c := s.Fetch(ctx, FetchRequest{Group: "g"}); c != codeNotCoordinator {
		t.Errorf("fetch %d", c)
	}
	if d := s.Describe(ctx, "g"); d.Code != codeNotCoordinator || d.Group != "g" {
		t.Errorf("describe %+v", d)
	}
	if groups, c := s.List(ctx); c != codeNone || len(groups) != 0 {
		t.Errorf("list %v %d", groups, c)
	}
	if c := s.Delete(ctx, "g"); c != codeNotCoordinator {
		t.Errorf("delete %d", c)
	}
	if codes, c := s.DeleteOffsets(ctx, "g", make([]TopicPartition, 1)); c != codeNotCoordinator || fmt.Sprint(codes) != "[16]" {
		t.Errorf("delete offsets %v %d", codes, c)
	}
	for _, c := range []int16{
		s.Join(ctx, JoinRequest{}).Code, s.Sync(ctx, SyncRequest{}).Code, s.Heartbeat(ctx, HeartbeatRequest{}), s.Leave(ctx, LeaveRequest{}).Code,
	} {
		if c != codeInvalidGroupID {
			t.Errorf("without a group: %s", name(c))
		}
	}
}

func TestWhoeverWaitsIsToldWhenTheCoordinatorMoves(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, n *node) {
		var waiting sync.WaitGroup
		for range 10 {
			waiting.Go(func() {
				if c := s.Join(t.Context(), joinRequest("")); c.Code != codeNotCoordinator {
					t.Errorf("join %+v", c)
				}
			})
		}
		synctest.Wait()
		s.Resign(0)
		waiting.Wait()
	})
}

func TestACancelledJoinLeavesNobodyWaiting(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, n *node) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c := s.Join(ctx, joinRequest("")); c.Code != codeCoordinatorNotAvailable {
			t.Errorf("join %+v", c)
		}
		time.Sleep(time.Hour) // its place is given up after a while
		if d := s.Describe(t.Context(), "g"); len(d.Members) != 0 {
			t.Errorf("described %+v", d)
		}
	})
}

func TestRequestsAreCopied(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, n *node) {
		r := joinRequest("")
		joined := s.Join(t.Context(), r)
		clear(r.Protocols[0].Metadata)
		mine := []byte("mine")
		s.Sync(t.Context(), SyncRequest{Group: "g", Generation: 1, MemberID: joined.MemberID, Assignments: map[string][]byte{joined.MemberID: mine}})
		clear(mine)
		d := s.Describe(t.Context(), "g")
		if len(d.Members) != 1 || string(d.Members[0].Assignment) != "mine" || showTopics(d.Members[0].Metadata) != "t" {
			t.Errorf("described %+v", d)
		}
	})
}

func TestTopicDeletedReachesEveryPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewService(Options{Partitions: 3})
		var nodes []*node
		for number := range int32(3) {
			n := openNode(t, vfs.NewMemory(), "data")
			s.Lead(number, n.p, int32(n.term))
			nodes = append(nodes, n)
		}
		synctest.Wait()
		for i := range 20 {
			r := CommitRequest{Group: fmt.Sprint("g", i), Generation: -1, Retention: -1, Offsets: []CommitOffset{
				{TopicPartition{"gone", 0}, Offset{Offset: 1}}, {TopicPartition{"stays", 0}, Offset{Offset: 2}},
			}}
			if codes := s.Commit(t.Context(), r); codes[0] != codeNone {
				t.Fatal(codes)
			}
		}
		s.TopicDeleted("gone")
		time.Sleep(time.Second)
		for i := range 20 {
			offsets, _ := s.Fetch(t.Context(), FetchRequest{Group: fmt.Sprint("g", i)})
			if len(offsets) != 1 || offsets[0].Topic != "stays" {
				t.Errorf("group %d has %v", i, offsets)
			}
		}
		groups, code := s.List(t.Context())
		if len(groups) != 20 || code != codeNone {
			t.Errorf("%d groups, %s", len(groups), name(code))
		}
		s.Close()
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestATopicDeletedWhileNobodyLedIsForgottenAtTheLoad(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, n *node) {
		commit := func(topic string) {
			r := CommitRequest{Group: "g", Generation: -1, Retention: -1, Offsets: []CommitOffset{{TopicPartition{topic, 0}, Offset{Offset: 1}}}}
			if codes := s.Commit(t.Context(), r); codes[0] != codeNone {
				t.Fatal(name(codes[0]))
			}
		}
		commit("gone")
		commit("again")
		time.Sleep(time.Second)
		s.Resign(0)
		synctest.Wait()
		s.TopicDeleted("gone")
		s.TopicDeleted("again")
		time.Sleep(time.Second)
		s.Lead(0, n.p, int32(n.term))
		time.Sleep(time.Second)
		commit("again")
		for range 2 {
			offsets, _ := s.Fetch(t.Context(), FetchRequest{Group: "g"})
			if len(offsets) != 1 || offsets[0].Topic != "again" {
				t.Errorf("left are %v", offsets)
			}
			restart(s, n)
			time.Sleep(time.Second)
		}
	})
}

// BenchmarkCommit commits one offset at a time from many members at once, to a partition on disk that syncs every batch.
func BenchmarkCommit(b *testing.B) {
	n := openNode(b, vfs.OS{}, b.TempDir())
	s := NewService(Options{Partitions: 1})
	s.Lead(0, n.p, int32(n.term))
	for s.Describe(b.Context(), "x").Code == codeLoadInProgress {
		time.Sleep(time.Millisecond)
	}
	var next, failed atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		group := fmt.Sprint("group-", next.Add(1))
		for pb.Next() {
			r := CommitRequest{Group: group, Generation: -1, Retention: -1, Offsets: []CommitOffset{{TopicPartition{"orders", 0}, Offset{Offset: next.Add(1), LeaderEpoch: 3}}}}
			if codes := s.Commit(context.Background(), r); codes[0] != codeNone {
				failed.Add(1)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	if failed.Load() > 0 {
		b.Errorf("%d commits failed", failed.Load())
	}
	s.Close()
	n.stop()
}

// BenchmarkLoad has a new leader load a partition with 200,000 committed offsets of 2,000 groups.
func BenchmarkLoad(b *testing.B) {
	n := openNode(b, vfs.OS{}, b.TempDir())
	s := NewService(Options{Partitions: 1})
	load := func() {
		s.Lead(0, n.p, int32(n.term))
		for s.Describe(b.Context(), "x").Code == codeLoadInProgress {
			time.Sleep(100 * time.Microsecond)
		}
	}
	load()
	const groups, offsets = 2000, 100
	for g := range groups {
		r := CommitRequest{Group: fmt.Sprint("group-", g), Generation: -1, Retention: -1}
		for p := range int32(offsets) {
			r.Offsets = append(r.Offsets, CommitOffset{TopicPartition{"orders", p}, Offset{Offset: int64(p), LeaderEpoch: 3}})
		}
		if codes := s.Commit(b.Context(), r); codes[0] != codeNone {
			b.Fatal(name(codes[0]))
		}
	}
	b.ResetTimer()
	for range b.N {
		s.Resign(0)
		load()
	}
	b.StopTimer()
	b.ReportMetric(float64(groups*offsets*b.N)/b.Elapsed().Seconds(), "records/s")
	s.Close()
	n.stop()
}

// The predecessor died before it heard that the topic was deleted.
func TestOffsetsOfTopicsThatDoNotExistGo(t *testing.T) {
	inOnePartition(t, func(t *testing.T, s *Service, n *node) {
		commit := func(topic string) {
			r := CommitRequest{Group: "g", Generation: -1, Retention: -1, Offsets: []CommitOffset{{TopicPartition{topic, 0}, Offset{Offset: 1}}}}
			if codes := s.Commit(t.Context(), r); codes[0] != codeNone {
				t.Fatal(name(codes[0]))
			}
		}
		commit("gone")
		commit("stays")
		restart(s, n)
		at := time.Now()
		time.Sleep(time.Second)
		commit("created since")
		s.KeepTopics(func(topic string) bool { return topic == "stays" }, at)
		time.Sleep(time.Second)
		for range 2 {
			offsets, _ := s.Fetch(t.Context(), FetchRequest{Group: "g"})
			var topics []string
			for _, o := range offsets {
				topics = append(topics, o.Topic)
			}
			slices.Sort(topics)
			if !slices.Equal(topics, []string{"created since", "stays"}) {
				t.Errorf("left are %v", offsets)
			}
			restart(s, n)
			time.Sleep(time.Second)
		}
	})
}
