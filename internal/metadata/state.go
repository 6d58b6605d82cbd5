package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
)

// State is this node's copy of the cluster's state: committed commands go in, in log order, images come out. The zero value is not usable; see NewState.
//
// Apply, Snapshot and Restore are called by one goroutine (the consensus library's). Everything else may be called by anyone.
type State struct {
	logger *zap.Logger
	image  atomic.Pointer[Image]
	frozen atomic.Pointer[Error]

	mu          sync.Mutex // guards following
	subscribers map[*Subscription]struct{}
}

// NewState is the state of an empty cluster. A nil logger is silent.
func NewState(logger *zap.Logger) *State {
	if logger == nil {
		logger = zap.NewNop()
	}
	s := &State{logger: logger, subscribers: map[*Subscription]struct{}{}}
	s.image.Store(NewImage())
	return s
}

// Image is the newest image. Never nil.
func (s *State) Image() *Image { return s.image.Load() }

// Err is not nil once a command came by that this version does not understand: the image stays where it was from then on.
func (s *State) Err() error {
	if frozen := s.frozen.Load(); frozen != nil {
		return frozen
	}
	return nil
}

// Apply makes the image at index from the one before, and returns the command's result for its proposer (see the commands; an error where it was refused).
// An index that was applied already is refused.
func (s *State) Apply(index uint64, command []byte) any {
	if frozen := s.frozen.Load(); frozen != nil {
		return error(frozen)
	}
	image := s.image.Load()
	if index <= image.Index {
		return error(refuse(CodeUnknownServerError, "apply index %d: the state is at index %d already", index, image.Index))
	}
	c, err := DecodeCommand(command)
	if errors.Is(err, ErrUnsupported) {
		s.freeze(index, err)
		return s.Err()
	}
	if err != nil {
		s.publish(image.draft(index))
		s.logger.Error("malformed command in the metadata log", zap.Uint64("index", index), zap.Error(err))
		return error(coded(err, CodeInvalidRequest))
	}
	o := step(image, index, c)
	s.publish(o.image)
	for _, e := range o.effects {
		s.logger.Debug("metadata changed", zap.Uint64("index", index), zap.String("change", string(e.Kind)), zap.String("name", e.Name))
	}
	return o.result
}

func (s *State) freeze(index uint64, err error) {
	frozen := &Error{Code: CodeUnsupportedVersion, Message: fmt.Sprintf("apply index %d: %v", index, err), Cause: err}
	s.frozen.Store(frozen)
	s.logger.Error("cluster metadata is frozen: upgrade this node", zap.Error(frozen))
}

func (s *State) publish(image *Image) {
	s.image.Store(image)
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subscribers {
		sub.wake()
	}
}

// snapshot is the whole state as JSON; see docs/format/metadata.md. The version rises when a field is added.
type snapshot struct {
	Version        int                          `json:"version"`
	Index          uint64                       `json:"index"`
	ClusterID      string                       `json:"clusterId,omitempty"`
	Topics         []*Topic                     `json:"topics"`
	Brokers        []*Broker                    `json:"brokers"`
	BrokerConfig   map[int32]map[string]string  `json:"brokerConfig,omitempty"`
	GroupConfig    map[string]map[string]string `json:"groupConfig,omitempty"`
	NextProducerID int64                        `json:"nextProducerId"`
}

// Snapshot encodes the newest image. Equal images have equal snapshots. Refused when the state is frozen: the log must stay for a newer version to read.
func (s *State) Snapshot() ([]byte, error) {
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("snapshot cluster metadata: %w", err)
	}
	return EncodeImage(s.Image())
}

// movesVersion is the version of a snapshot of which a partition says that it moves or has moved. Others are written as version 0.
const movesVersion = 1

func version(image *Image) int {
	for _, t := range image.Topics {
		for _, p := range t.Partitions {
			if p.Target != nil || p.Founded {
				return movesVersion
			}
		}
	}
	return 0
}

// EncodeImage is the image as a snapshot.
func EncodeImage(image *Image) ([]byte, error) {
	out := snapshot{
		Version: version(image), Index: image.Index, ClusterID: image.ClusterID, NextProducerID: image.NextProducerID,
		BrokerConfig: image.BrokerConfig, GroupConfig: image.GroupConfig,
		Topics: []*Topic{}, Brokers: []*Broker{},
	}
	for _, name := range sortedKeys(image.Topics) {
		out.Topics = append(out.Topics, image.Topics[name])
	}
	for _, id := range sortedKeys(image.Brokers) {
		out.Brokers = append(out.Brokers, image.Brokers[id])
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode cluster metadata: %w", err)
	}
	return data, nil
}

// DecodeImage reads a snapshot. The error is ErrUnsupported or ErrMalformed.
func DecodeImage(data []byte) (*Image, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("decode metadata snapshot: %w: %w", ErrMalformed, err)
	}
	if version.Version != 0 && version.Version != movesVersion {
		return nil, fmt.Errorf("decode metadata snapshot version %d: %w", version.Version, ErrUnsupported)
	}
	var in snapshot
	if err := decodeStrict(data, &in); err != nil {
		return nil, fmt.Errorf("decode metadata snapshot: %w", err)
	}
	return in.image()
}

// image checks what the rest of the package takes for granted: nothing is nil, names and ids are unique.
func (in *snapshot) image() (*Image, error) {
	image := NewImage()
	image.Index, image.ClusterID, image.NextProducerID = in.Index, in.ClusterID, in.NextProducerID
	for _, t := range in.Topics {
		if t == nil || len(t.Partitions) == 0 || image.Topics[t.Name] != nil || image.ByID[t.ID] != nil {
			return nil, fmt.Errorf("decode metadata snapshot: %w: a topic is empty or there twice", ErrMalformed)
		}
		image.putTopic(t)
	}
	for _, b := range in.Brokers {
		if b == nil || image.Brokers[b.ID] != nil {
			return nil, fmt.Errorf("decode metadata snapshot: %w: a broker is there twice", ErrMalformed)
		}
		image.Brokers[b.ID] = b
	}
	if in.NextProducerID < 0 {
		return nil, fmt.Errorf("decode metadata snapshot: %w: negative producer id", ErrMalformed)
	}
	if in.BrokerConfig != nil {
		image.BrokerConfig = in.BrokerConfig
	}
	if in.GroupConfig != nil {
		image.GroupConfig = in.GroupConfig
	}
	return image, nil
}

// Restore replaces the state by a snapshot. On error nothing has changed.
func (s *State) Restore(data []byte) error {
	image, err := DecodeImage(data)
	if err != nil {
		return err
	}
	s.frozen.Store(nil)
	s.publish(image)
	return nil
}

// Subscription wakes its owner when there is a newer image. Wake-ups are merged: the owner reads State.Image and compares it with the one it acted on (Diff).
type Subscription struct {
	state *State
	c     chan struct{} // capacity 1: a wake-up that nobody has taken yet stands for all later ones
}

// Subscribe registers an owner. The first wake-up is there at once. Close it when done.
func (s *State) Subscribe() *Subscription {
	sub := &Subscription{state: s, c: make(chan struct{}, 1)}
	sub.wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers[sub] = struct{}{}
	return sub
}

// C has one element when there may be a newer image.
func (s *Subscription) C() <-chan struct{} { return s.c }

// Close ends the subscription. C stays open and silent.
func (s *Subscription) Close() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	delete(s.state.subscribers, s)
}

// wake never blocks.
func (s *Subscription) wake() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// Wait returns the first image that satisfies until, or the newest one and the context's error when ctx ends before.
func (s *State) Wait(ctx context.Context, until func(*Image) bool) (*Image, error) {
	sub := s.Subscribe()
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return s.Image(), ctx.Err()
		case <-sub.C():
			if image := s.Image(); until(image) {
				return image, nil
			}
		}
	}
}
