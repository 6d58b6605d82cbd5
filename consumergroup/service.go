package consumergroup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/barnabas-log/barnabas/internal/coordinator"
	"github.com/barnabas-log/barnabas/partition"
)

// Service is the group coordinator of this node: it routes each request to the shard that has the group. internal/broker tells it which partitions of
// __consumer_offsets this node leads. It implements API.
type Service struct {
	opts    Options
	runtime *coordinator.Runtime

	mu sync.Mutex
	// mu guards following
	deleted map[string]int64 // topics deleted while this node runs, and when; a shard that loads later drops their offsets too
}

// deletedLimit bounds how many deleted topics are remembered. They matter to shards that were loading, or elsewhere, at the time.
const deletedLimit = 10_000

var _ API = (*Service)(nil)

// NewService makes a coordinator that leads nothing yet.
func NewService(opts Options) *Service {
	opts.ensureDefaults()
	s := &Service{opts: opts, deleted: map[string]int64{}}
	s.runtime = coordinator.New(coordinator.Options{
		NewMachine: func(int32) coordinator.Machine { return newShard(&s.opts, s.deletedTopics()) },
		Logger:     opts.Logger,
		Now:        opts.Now,
	})
	return s
}

// Lead says that this node leads a partition of __consumer_offsets in epoch. It returns at once; the groups are loaded meanwhile.
func (s *Service) Lead(number int32, p *partition.Partition, epoch int32) {
	s.runtime.Lead(number, p, epoch)
}

// Resign says that this node no longer leads the partition: everyone who waits is told NOT_COORDINATOR. It returns at once.
func (s *Service) Resign(number int32) { s.runtime.Resign(number) }

// TopicDeleted drops the offsets of a topic that is no more, in all groups here. It returns at once. Call it on every node for every deleted topic.
func (s *Service) TopicDeleted(name string) {
	at := s.opts.Now().UnixMilli()
	s.mu.Lock()
	if len(s.deleted) >= deletedLimit {
		clear(s.deleted)
	}
	s.deleted[name] = at
	s.mu.Unlock()
	s.runtime.Notify(topicDeletedNotice{topic: name, at: at})
}

// KeepTopics drops the offsets of all topics that do not exist, as far as they were committed until at. It returns at once; exists is called by other goroutines later, and must
// know every topic that there was at that time. For whoever begins to lead a partition: its predecessor may have died before it heard of a deletion.
func (s *Service) KeepTopics(exists func(topic string) bool, at time.Time) {
	s.runtime.Notify(keepTopicsNotice{exists: exists, at: at.UnixMilli()})
}

func (s *Service) deletedTopics() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.deleted)
}

// Close answers everyone who waits with NOT_COORDINATOR and stops. The partitions must be closed later.
func (s *Service) Close() { s.runtime.Close() }

// PartitionFor implements API: the absolute value of Java's String.hashCode, modulo the number of partitions. Like Kafka, the one number without a positive counterpart
// counts as 0.
func (s *Service) PartitionFor(group string) int32 {
	hash := javaHash(group)
	switch {
	case hash == -1<<31:
		hash = 0
	case hash < 0:
		hash = -hash
	}
	return hash % s.opts.CountPartitions()
}

// javaHash is String.hashCode: over UTF-16 units, not bytes.
func javaHash(text string) (hash int32) {
	var units [2]uint16
	for _, r := range text {
		for _, unit := range utf16.AppendRune(units[:0], r) {
			hash = 31*hash + int32(unit)
		}
	}
	return hash
}

// ask hands a message to the group's shard.
func ask[A any](ctx context.Context, s *Service, group string, message any) (answer A, code int16) {
	got, err := s.runtime.Call(ctx, s.PartitionFor(group), message)
	if err != nil {
		return answer, codeOf(err)
	}
	return got.(A), codeNone
}

// askSoon is ask for what waits for a write only, and not for other members.
func askSoon[A any](ctx context.Context, s *Service, group string, message any) (answer A, code int16) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommitTimeout)
	defer cancel()
	return ask[A](ctx, s, group, message)
}

func codeOf(err error) int16 {
	switch {
	case errors.Is(err, coordinator.ErrNotCoordinator):
		return codeNotCoordinator
	case errors.Is(err, coordinator.ErrLoading):
		return codeLoadInProgress
	default: // ErrUnavailable, or the caller's context ended: try again
		return codeCoordinatorNotAvailable
	}
}

// Join implements API.
func (s *Service) Join(ctx context.Context, r JoinRequest) JoinResponse {
	if r.Group == "" {
		return JoinResponse{Code: codeInvalidGroupID, Generation: -1, MemberID: r.MemberID}
	}
	r.Protocols = slices.Clone(r.Protocols)
	for i := range r.Protocols {
		r.Protocols[i].Metadata = clone(r.Protocols[i].Metadata)
	}
	answer, code := ask[JoinResponse](ctx, s, r.Group, r)
	if code != codeNone {
		return JoinResponse{Code: code, Generation: -1, MemberID: r.MemberID}
	}
	return answer
}

// Sync implements API.
func (s *Service) Sync(ctx context.Context, r SyncRequest) SyncResponse {
	if r.Group == "" {
		return SyncResponse{Code: codeInvalidGroupID}
	}
	assignments := make(map[string][]byte, len(r.Assignments))
	for id, a := range r.Assignments {
		assignments[id] = clone(a)
	}
	r.Assignments = assignments
	answer, code := ask[SyncResponse](ctx, s, r.Group, r)
	if code != codeNone {
		return SyncResponse{Code: code}
	}
	return answer
}

// Heartbeat implements API.
func (s *Service) Heartbeat(ctx context.Context, r HeartbeatRequest) int16 {
	if r.Group == "" {
		return codeInvalidGroupID
	}
	answer, code := askSoon[int16](ctx, s, r.Group, r)
	return cmp.Or(code, answer)
}

// Leave implements API.
func (s *Service) Leave(ctx context.Context, r LeaveRequest) LeaveResponse {
	code := codeInvalidGroupID
	if r.Group != "" {
		r.Members = slices.Clone(r.Members)
		var answer LeaveResponse
		if answer, code = askSoon[LeaveResponse](ctx, s, r.Group, r); code == codeNone {
			return answer
		}
	}
	return LeaveResponse{Code: code, Members: repeat(code, len(r.Members))}
}

// Commit implements API.
func (s *Service) Commit(ctx context.Context, r CommitRequest) []int16 {
	r.Offsets = slices.Clone(r.Offsets)
	codes, code := askSoon[[]int16](ctx, s, r.Group, r)
	if code != codeNone {
		return repeat(code, len(r.Offsets))
	}
	return codes
}

// Fetch implements API.
func (s *Service) Fetch(ctx context.Context, r FetchRequest) ([]FetchedOffset, int16) {
	r.Partitions = slices.Clone(r.Partitions)
	answer, code := askSoon[fetchAnswer](ctx, s, r.Group, r)
	return answer.offsets, cmp.Or(code, answer.code)
}

// Describe implements API.
func (s *Service) Describe(ctx context.Context, group string) Described {
	answer, code := askSoon[Described](ctx, s, group, describeMessage{group: group})
	if code != codeNone {
		return Described{Code: code, Group: group}
	}
	return answer
}

// List implements API.
func (s *Service) List(ctx context.Context) (groups []Listed, code int16) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommitTimeout)
	defer cancel()
	var calls []*coordinator.Call
	collect := func(err error) {
		if errors.Is(err, coordinator.ErrNotCoordinator) { // it moved away meanwhile: another node lists it
			return
		}
		code = cmp.Or(code, codeOf(err))
	}
	for _, number := range s.runtime.Numbers() {
		call, err := s.runtime.Send(ctx, number, listMessage{})
		if err != nil {
			collect(err)
			continue
		}
		calls = append(calls, call)
	}
	for _, call := range calls {
		answer, err := call.Wait(ctx)
		if err != nil {
			collect(err)
			continue
		}
		groups = append(groups, answer.([]Listed)...)
	}
	slices.SortFunc(groups, func(a, b Listed) int { return cmp.Compare(a.Group, b.Group) })
	return groups, code
}

// Delete implements API.
func (s *Service) Delete(ctx context.Context, group string) int16 {
	answer, code := askSoon[int16](ctx, s, group, deleteMessage{group: group})
	return cmp.Or(code, answer)
}

// DeleteOffsets implements API.
func (s *Service) DeleteOffsets(ctx context.Context, group string, partitions []TopicPartition) ([]int16, int16) {
	m := deleteOffsetsMessage{group: group, partitions: slices.Clone(partitions)}
	answer, code := askSoon[deleteOffsetsAnswer](ctx, s, group, m)
	if code != codeNone {
		return repeat(code, len(partitions)), code
	}
	return answer.codes, answer.code
}

func repeat(code int16, n int) []int16 {
	codes := make([]int16, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

// clone copies b; the copy of an empty slice keeps no memory of the request alive.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
