package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
)

// moveLimit is how many of the partitions that a node leads are moved at the same time: each copies a whole log over the network, next to what producers and consumers
// want of it.
const moveLimit = 4

const (
	// moveAgain is how long after a failed attempt the next one follows.
	moveAgain = 200 * time.Millisecond
	// moveLimitTime bounds one attempt; what was copied in it is not lost to the next one.
	moveLimitTime = time.Minute
)

// mover takes the partitions that this node leads to where the metadata wants them, one membership change at a time. All that it has to remember is in the metadata and in
// the group's own configuration, so whoever leads next goes on where this node stopped, and every step may be taken twice.
type mover struct {
	b *Broker

	mu    sync.Mutex // guards following
	under map[place]*move
	done  chan struct{} // capacity 1: a move has ended
}

// move is an attempt under way.
type move struct {
	target []int32
	cancel context.CancelFunc
}

func newMover(b *Broker) *mover {
	return &mover{b: b, under: map[place]*move{}, done: make(chan struct{}, 1)}
}

// run moves partitions until ctx ends. While none is to be moved it sleeps.
func (m *mover) run(ctx context.Context) {
	news := m.b.state.Subscribe()
	defer news.Close()
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	again := time.NewTicker(moveAgain)
	defer again.Stop()
	var moving []place
	var seen *metadata.Image
	for {
		if image := m.b.Image(); image != seen {
			moving, seen = movingIn(image), image
			m.recall(image)
		}
		for _, p := range moving {
			m.begin(ctx, &working, seen, p)
		}
		tick := again.C
		if len(moving) == 0 {
			tick = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-news.C():
		case <-m.done:
		case <-tick:
		}
	}
}

// movingIn lists the partitions that are on their way.
func movingIn(image *metadata.Image) (moving []place) {
	for id, t := range image.ByID {
		for number, p := range t.Partitions {
			if p.Target != nil {
				moving = append(moving, place{id, int32(number)})
			}
		}
	}
	return moving
}

// recall ends the attempts whose target is another one by now.
func (m *mover) recall(image *metadata.Image) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, under := range m.under {
		if t := image.ByID[p.topic]; t == nil || !slices.Equal(t.Partitions[p.number].Target, under.target) {
			under.cancel()
		}
	}
}

// begin starts an attempt, if this node leads the partition and does not move too many already.
func (m *mover) begin(ctx context.Context, working *sync.WaitGroup, image *metadata.Image, at place) {
	r := m.b.hosting.find(at.topic, at.number)
	if r == nil || r.err != nil {
		return
	}
	if _, _, here := r.part.Leader(); !here {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.under[at] != nil || len(m.under) >= moveLimit {
		return
	}
	p := image.ByID[at.topic].Partitions[at.number]
	if !reachable(image, p.Target, r.group.Members()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, moveLimitTime)
	m.under[at] = &move{target: p.Target, cancel: cancel}
	working.Go(func() {
		defer cancel()
		err := m.take(ctx, r, p)
		m.report(r, p, err)
		m.mu.Lock()
		delete(m.under, at)
		m.mu.Unlock()
		if err == nil {
			select {
			case m.done <- struct{}{}:
			default:
			}
		}
	})
}

// reachable says whether every node that is to come is there: a move to one that is not would only keep others waiting.
func reachable(image *metadata.Image, target []int32, members []replication.Member) bool {
	for _, node := range target {
		member := slices.ContainsFunc(members, func(m replication.Member) bool { return m.Node == node })
		if b := image.Brokers[node]; !member && (b == nil || b.Fenced) {
			return false
		}
	}
	return true
}

func (m *mover) report(r *replica, p metadata.Partition, err error) {
	logger := m.b.logger.With(zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Int32s("target", p.Target))
	switch {
	case err == nil:
		logger.Info("partition has arrived")
	case errors.Is(err, errElsewhere), errors.Is(err, replication.ErrNotLeader), errors.Is(err, context.Canceled):
		logger.Debug("somebody else goes on with this move", zap.Error(err))
	default:
		logger.Warn("partition was not moved yet", zap.Error(err))
	}
}

// errElsewhere says that the rest of a move is another node's.
var errElsewhere = errors.New("leadership was handed to a node that stays")

// take makes the group's members what the metadata wants: first those that come, each as a learner until it has caught up, then those that go. A leader that goes hands over
// first, and its successor does the rest.
func (m *mover) take(ctx context.Context, r *replica, p metadata.Partition) error {
	for _, node := range p.Target {
		if err := r.group.AddNonvoter(ctx, node); err != nil {
			return err
		}
		if err := r.group.AddVoter(ctx, node); err != nil {
			return err
		}
	}
	if !slices.Contains(p.Target, m.b.nodeID) {
		return m.resign(ctx, r, p.Target)
	}
	leaving := p.Removing()
	for _, member := range r.group.Members() {
		if !slices.Contains(p.Target, member.Node) && !slices.Contains(leaving, member.Node) {
			leaving = append(leaving, member.Node)
		}
	}
	for _, node := range leaving {
		if err := r.group.Remove(ctx, node); err != nil {
			return err
		}
	}
	return m.b.controller.FinishReassignment(ctx, r.topic.ID, r.number, p.Target)
}

// resign hands leadership to the first node of target that is in sync.
func (m *mover) resign(ctx context.Context, r *replica, target []int32) error {
	in := r.group.InSync()
	for _, node := range target {
		if slices.Contains(in, node) {
			if err := r.group.Transfer(ctx, node); err != nil {
				return err
			}
			return errElsewhere
		}
	}
	return fmt.Errorf("none of %v is in sync, leadership stays for now", target)
}

// AlterReassignments implements protocol.Admin. What is cancelled is waited for, until ctx ends: Kafka's clients take it as done.
func (a admin) AlterReassignments(ctx context.Context, moves []metadata.Reassignment, sameFactor bool) []error {
	errs := a.b.controller.AlterReassignments(ctx, moves, sameFactor)
	_, _ = a.b.state.Wait(ctx, func(image *metadata.Image) bool {
		return !slices.ContainsFunc(moves, func(m metadata.Reassignment) bool {
			t := image.Topics[m.Topic]
			return m.Replicas == nil && t != nil && m.Partition >= 0 && int(m.Partition) < len(t.Partitions) && t.Partitions[m.Partition].Target != nil
		})
	})
	return errs
}

// UnregisterBroker implements protocol.Admin. A node that is down is no longer sent the metadata either; one that runs would register again.
func (a admin) UnregisterBroker(ctx context.Context, id int32) error {
	broker := a.b.Image().Brokers[id]
	if err := a.b.controller.UnregisterBroker(ctx, id); err != nil {
		return err
	}
	if broker == nil || !broker.Fenced {
		return nil
	}
	if _, err := a.b.askController(ctx, question{Leave: &leaving{Node: id}}); err != nil {
		a.b.logger.Warn("a broker that is gone still counts as a follower of the metadata", zap.Int32("broker", id), zap.Error(err))
	}
	return nil
}

// leaving says which node no longer follows the metadata.
type leaving struct {
	Node int32 `json:"node"`
}

// leave is asked of the node that leads the metadata group.
func (b *Broker) leave(ctx context.Context, l leaving) reply {
	if b.Image().Brokers[l.Node] != nil { // it is back
		return reply{}
	}
	if err := b.meta.RemoveNonvoter(ctx, l.Node); err != nil {
		return reply{Error: &metadata.Error{Code: metadata.CodeNotController, Message: err.Error()}}
	}
	return reply{}
}

// askController puts a question to the node that leads the metadata group.
func (b *Broker) askController(ctx context.Context, q question) (reply, error) {
	leader, _ := b.meta.Leader()
	if leader < 0 {
		return reply{}, &metadata.Error{Code: metadata.CodeNotController, Message: "the metadata group has no leader at the moment"}
	}
	r, err := b.ask(ctx, leader, q)
	if errors.Is(err, replication.ErrUnreachable) {
		return r, &metadata.Error{Code: metadata.CodeNotController, Message: fmt.Sprintf("the metadata group's leader, node %d, cannot be reached", leader)}
	}
	return r, err
}
