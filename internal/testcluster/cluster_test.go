package testcluster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/history"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const topic = "records"

// scene is a cluster with a topic, a client and a history.
type scene struct {
	*Cluster
	t        *testing.T
	ctx      context.Context
	client   *kgo.Client
	admin    *kadm.Client
	file     bytes.Buffer
	recorder *history.Recorder
	invoked  int64
}

func begin(t *testing.T, partitions int32) *scene {
	t.Helper()
	t.Parallel() // they wait more than they work
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &scene{Cluster: Start(t, Options{}), t: t, ctx: ctx}
	s.recorder = history.NewRecorder(&s.file)
	s.client = s.connect()
	s.admin = kadm.NewClient(s.client)
	if _, err := s.admin.CreateTopic(ctx, partitions, 3, nil, topic); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) connect(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.Addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.RequestTimeoutOverhead(2 * time.Second), kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// leader of a partition, as the cluster says.
func (s *scene) leader(partition int32) *Node {
	s.t.Helper()
	for s.ctx.Err() == nil {
		found, err := s.admin.Metadata(s.ctx, topic)
		if err != nil {
			s.t.Fatal(err)
		}
		if p, ok := found.Topics[topic].Partitions[partition]; ok && p.Leader > 0 {
			return s.Node(p.Leader)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("no leader")
	return nil
}

// produce hands records to the client, in turn for each partition, and returns what waits for their acknowledgement.
func (s *scene) produce(client *kgo.Client, count int, partitions int32) (wait func() error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for range count {
		id := history.ID{Producer: 1, Number: s.invoked}
		p := history.Partition{Topic: topic, Number: int32(s.invoked % int64(partitions))}
		s.invoked++
		s.recorder.Record(history.Event{Kind: history.Invoked, Partition: p, ID: id})
		all.Add(1)
		client.Produce(s.ctx, &kgo.Record{Topic: topic, Partition: p.Number, Value: history.NewPayload(id, 100)}, func(r *kgo.Record, err error) {
			defer all.Done()
			e := history.Event{Kind: history.Acknowledged, Partition: p, ID: id, Offset: r.Offset}
			if err != nil {
				e.Kind = history.Unknown
				mu.Lock()
				failure = err
				mu.Unlock()
			}
			s.recorder.Record(e)
		})
	}
	return func() error {
		all.Wait()
		mu.Lock()
		defer mu.Unlock()
		return failure
	}
}

// ends are the end offsets. A partition may be between two leaders, on a machine that is busy for a while.
func (s *scene) ends() (ends kadm.ListedOffsets, err error) {
	for {
		ends, err = s.admin.ListEndOffsets(s.ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if !kerr.IsRetriable(err) || s.ctx.Err() != nil {
			return ends, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// verify reads everything and judges the history.
func (s *scene) verify(want int64) {
	s.t.Helper()
	ends, err := s.ends()
	if err != nil {
		s.t.Fatal(err)
	}
	missing := int64(0)
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) { missing, from[o.Partition] = missing+o.Offset, kgo.NewOffset().At(0) })
	reader := s.connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	for missing > 0 && s.ctx.Err() == nil {
		reader.PollFetches(s.ctx).EachRecord(func(r *kgo.Record) {
			id, err := history.ParsePayload(r.Value)
			if err != nil {
				s.t.Errorf("offset %d: %v", r.Offset, err)
			}
			s.recorder.Record(history.Event{Kind: history.Final, Partition: history.Partition{Topic: topic, Number: r.Partition}, ID: id, Offset: r.Offset})
			missing--
		})
	}
	if err := s.recorder.Flush(); err != nil {
		s.t.Fatal(err)
	}
	verdict, err := history.CheckFile(&s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	if !verdict.Sound() || verdict.Counts.Acknowledged < want {
		s.t.Errorf("want at least %d acknowledged\n%v", want, verdict)
	}
}

// commit commits how far a member of a group has read partition 0, if that is news to the cluster.
func (s *scene) commit(member *kgo.Client) (offset int64, ok bool) {
	offsets := member.UncommittedOffsets()
	if len(offsets) == 0 {
		return 0, false
	}
	member.CommitOffsetsSync(s.ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		ok = err == nil && len(r.Topics) > 0 && len(r.Topics[0].Partitions) > 0 && r.Topics[0].Partitions[0].ErrorCode == 0
	})
	return offsets[topic][0].Offset, ok
}

// committed asks for a group's offsets until somebody answers. Each attempt has a client of its own: one that remembers a dead coordinator asks for no other while nobody
// listens there.
func (s *scene) committed(group string) (offsets kadm.OffsetResponses, err error) {
	for {
		client := s.connect()
		offsets, err = kadm.NewClient(client).FetchOffsets(s.ctx, group)
		client.Close()
		if err == nil || s.ctx.Err() != nil {
			return offsets, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// equalReplicas waits until all nodes have the same segment files.
func (s *scene) equalReplicas() {
	s.t.Helper()
	var differ string
	for s.ctx.Err() == nil {
		if differ = s.difference(); differ == "" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Errorf("replicas differ: %s", differ)
}

func (s *scene) difference() string {
	segments, err := filepath.Glob(filepath.Join(s.Node(1).Dir(), "topics", topic, "*", "*.log"))
	if err != nil || len(segments) == 0 {
		return fmt.Sprintf("no segments: %v", err)
	}
	for _, path := range segments {
		first, err := os.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		name, _ := filepath.Rel(s.Node(1).Dir(), path)
		for _, n := range s.Nodes()[1:] {
			other, err := os.ReadFile(filepath.Join(n.Dir(), name))
			if err != nil || !bytes.Equal(first, other) {
				return fmt.Sprintf("%s: %d bytes on node 1, %d on node %d (%v)", name, len(first), len(other), n.ID, err)
			}
		}
	}
	return ""
}

func TestAcknowledgedRecordsSurviveTheirLeader(t *testing.T) {
	s := begin(t, 3)
	if err := s.produce(s.client, 300, 3)(); err != nil {
		t.Fatal(err)
	}
	dead := s.leader(0)
	wait := s.produce(s.client, 300, 3)
	dead.Kill()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.produce(s.client, 300, 3)(); err != nil {
		t.Fatal(err)
	}
	dead.Start()
	s.equalReplicas()
	s.verify(900)
}

func TestLeadersThatStopHandOver(t *testing.T) {
	s := begin(t, 3)
	if err := s.produce(s.client, 30, 3)(); err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Nodes() {
		wait := s.produce(s.client, 100, 3)
		n.Stop()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		n.Start()
	}
	s.equalReplicas()
	s.verify(330)
}

func TestLeaderOfAMinorityAcknowledgesNothing(t *testing.T) {
	s := begin(t, 1)
	if err := s.produce(s.client, 10, 1)(); err != nil {
		t.Fatal(err)
	}
	alone := s.leader(0)
	// This client sees no other node.
	only := s.connect(kgo.SeedBrokers(alone.Address()), kgo.RecordDeliveryTimeout(2*time.Second), kgo.ProduceRequestTimeout(time.Second),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != alone.Address() {
				return nil, fmt.Errorf("%s is out of sight", address)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}))
	if err := only.Ping(s.ctx); err != nil {
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(s.ctx, 10*time.Second) // the client may keep records for ever of which it does not know what became
	defer cancel()
	defer context.AfterFunc(limit, only.Close)()
	s.Network.Isolate(alone.ID)
	if err := s.produce(only, 5, 1)(); err == nil {
		t.Error("a leader without a quorum acknowledged")
	}
	only.Close()
	s.invoked += 1000 // the next records come from the other side, and their order with those is anybody's guess
	if err := s.produce(s.client, 50, 1)(); err != nil {
		t.Fatal(err)
	}
	if other := s.leader(0); other == alone {
		t.Errorf("node %d leads on", alone.ID)
	}
	s.Network.HealAll()
	if err := s.produce(s.client, 50, 1)(); err != nil {
		t.Fatal(err)
	}
	s.equalReplicas()
	s.verify(110)
}

func TestFollowerThatWasCutOffCatchesUp(t *testing.T) {
	s := begin(t, 1)
	away := s.Node(s.leader(0).ID%3 + 1)
	s.Network.Isolate(away.ID)
	if err := s.produce(s.client, 2000, 1)(); err != nil {
		t.Fatal(err)
	}
	s.Network.HealAll()
	s.equalReplicas()
	s.verify(2000)
}

func TestOneWayCutsEndInOneLeader(t *testing.T) {
	s := begin(t, 1)
	if err := s.produce(s.client, 10, 1)(); err != nil {
		t.Fatal(err)
	}
	leader := s.leader(0)
	for _, mute := range []bool{true, false} {
		for _, n := range s.Nodes() {
			if n != leader && mute {
				s.Network.Cut(leader.ID, n.ID)
			} else if n != leader {
				s.Network.Cut(n.ID, leader.ID)
			}
		}
		cut := time.Now()
		if err := s.produce(s.client, 100, 1)(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(cut); took > 12*time.Second { // some 3 s; a leader that went on with its heartbeats held the others up for 15 and more
			t.Errorf("mute %v: nobody led for %v", mute, took)
		}
		s.Network.HealAll()
		if err := s.produce(s.client, 100, 1)(); err != nil {
			t.Fatal(err)
		}
		leader = s.leader(0)
	}
	s.equalReplicas()
	s.verify(410)
}

func TestGroupSurvivesItsCoordinator(t *testing.T) {
	s := begin(t, 1)
	if err := s.produce(s.client, 100, 1)(); err != nil {
		t.Fatal(err)
	}
	const group = "readers"
	var mu sync.Mutex
	var reader int32
	partition := history.Partition{Topic: topic}
	member := s.connect(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			mu.Lock()
			defer mu.Unlock()
			reader++
			s.recorder.Record(history.Event{Kind: history.Assigned, Partition: partition, Reader: reader, Group: group})
		}))
	defer member.CloseAllowingRebalance()
	read := func(upTo int64) {
		t.Helper()
		for committed := int64(0); committed < upTo && s.ctx.Err() == nil; {
			poll, cancel := context.WithTimeout(s.ctx, 200*time.Millisecond)
			member.PollFetches(poll).EachRecord(func(r *kgo.Record) {
				id, _ := history.ParsePayload(r.Value)
				mu.Lock()
				defer mu.Unlock()
				s.recorder.Record(history.Event{Kind: history.Consumed, Partition: partition, Reader: reader, ID: id, Offset: r.Offset})
			})
			cancel()
			if offset, ok := s.commit(member); ok { // it is tried again while there is no coordinator
				committed = offset
				s.recorder.Record(history.Event{Kind: history.Committed, Partition: partition, Group: group, Offset: offset})
			}
			member.AllowRebalance()
		}
	}
	read(100)
	found := s.admin.FindGroupCoordinators(s.ctx, group)[group]
	if found.Err != nil {
		t.Fatal(found.Err)
	}
	coordinator := s.Node(found.NodeID)
	coordinator.Kill()
	if err := s.produce(s.client, 100, 1)(); err != nil {
		t.Fatal(err)
	}
	read(200)
	committed, err := s.committed(group)
	if o, _ := committed.Lookup(topic, 0); err != nil || o.At != 200 {
		t.Errorf("committed %d: %v", o.At, err)
	}
	coordinator.Start()
	s.equalReplicas()
	s.verify(200)
}
