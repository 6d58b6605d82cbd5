package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"go.uber.org/zap"
)

// led is what a node says of the partitions that it leads, and of its replicas that do not work.
type led struct {
	Partitions []ledPartition `json:"partitions"`
	Offline    *[]spot        `json:"offline,omitempty"` // nil: it says nothing of them
}

// ledPartition is one of them.
type ledPartition struct {
	Topic  metadata.TopicID `json:"topic"`
	Number int32            `json:"number"`
	Epoch  int32            `json:"epoch"`
	InSync []int32          `json:"in_sync"`
}

// place names a partition.
type place struct {
	topic  metadata.TopicID
	number int32
}

// leaderState is what this node knows of a partition that another node leads.
type leaderState struct {
	node   int32
	epoch  int32
	inSync []int32
}

// leaders spreads who leads what among the brokers. It is soft state: each node tells the others what it leads, at once when that changes and in full to a node that (re)appears.
// Nothing is stored; an older epoch never replaces a newer one.
type leaders struct {
	b *Broker

	mu    sync.Mutex // guards following
	known map[place]leaderState
	own   map[place]ledPartition // what this node leads
	dirty map[int32]map[place]bool
	// offline are the replicas of other nodes that do not work, ailing those of this one, of which the nodes in untold have to be told.
	offline map[int32]map[place]bool
	ailing  map[place]bool
	untold  map[int32]bool
	greets  map[int32]int64 // the registration of each broker that was told everything
	kick    chan struct{}   // capacity 1: something is dirty
}

func newLeaders(b *Broker) *leaders {
	return &leaders{b: b, known: map[place]leaderState{}, own: map[place]ledPartition{}, dirty: map[int32]map[place]bool{},
		offline: map[int32]map[place]bool{}, untold: map[int32]bool{}, greets: map[int32]int64{}, kick: make(chan struct{}, 1)}
}

// find is what is known of a partition that is led elsewhere.
func (l *leaders) find(p place) (leaderState, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.known[p]
	return s, ok
}

// lead notes that this node leads p, with these replicas in sync; a change is told to everyone.
func (l *leaders) lead(p place, epoch int32, inSync []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, ok := l.own[p]
	if ok && old.Epoch == epoch && slices.Equal(old.InSync, inSync) {
		return
	}
	l.own[p] = ledPartition{p.topic, p.number, epoch, inSync}
	for node := range l.greets {
		l.markLocked(node, p)
	}
	l.wake()
}

// leave notes that this node no longer leads p.
func (l *leaders) leave(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.own, p)
}

// forget drops a deleted topic.
func (l *leaders) forget(topic metadata.TopicID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.known {
		if p.topic == topic {
			delete(l.known, p)
		}
	}
}

// told takes what another node says.
func (l *leaders) told(from int32, news led) {
	l.mu.Lock()
	for _, n := range news.Partitions {
		p := place{n.Topic, n.Number}
		if old, ok := l.known[p]; !ok || n.Epoch >= old.epoch {
			l.known[p] = leaderState{from, n.Epoch, n.InSync}
		}
	}
	l.toldOfflineLocked(from, news)
	l.mu.Unlock()
	l.b.hosting.changed.wake()
}

func (l *leaders) markLocked(node int32, p place) {
	if l.dirty[node] == nil {
		l.dirty[node] = map[place]bool{}
	}
	l.dirty[node][p] = true
}

func (l *leaders) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// spread tells the other brokers, until ctx ends. A broker that cannot be reached is tried again; what it has to be told is kept as a set, not as a queue.
func (l *leaders) spread(ctx context.Context) {
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		l.greet()
		var sending sync.WaitGroup
		for node, news := range l.take() {
			sending.Go(func() { l.tell(ctx, node, news) })
		}
		sending.Wait()
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-retry.C:
		}
	}
}

// greet marks everything for brokers that have registered since, and forgets those that are gone.
func (l *leaders) greet() {
	image := l.b.Image()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.greets {
		if image.Brokers[id] == nil {
			delete(l.greets, id)
			delete(l.dirty, id)
			delete(l.untold, id)
			delete(l.offline, id)
		}
	}
	for id, broker := range image.Brokers {
		if id == l.b.nodeID || l.greets[id] == broker.Epoch {
			continue
		}
		l.greets[id] = broker.Epoch
		l.untold[id] = true
		for p := range l.own {
			l.markLocked(id, p)
		}
	}
}

// take empties the sets.
func (l *leaders) take() map[int32]led {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[int32]led{}
	for node, places := range l.dirty {
		var news led
		for p := range places {
			if own, still := l.own[p]; still {
				news.Partitions = append(news.Partitions, own)
			}
		}
		if len(news.Partitions) > 0 {
			all[node] = news
		}
		delete(l.dirty, node)
	}
	for node := range l.untold {
		news := all[node]
		news.Offline = l.ailingLocked()
		all[node] = news
		delete(l.untold, node)
	}
	return all
}

// tellLimit bounds one attempt: a broker that does not answer must not hold up the others for long.
const tellLimit = time.Second

func (l *leaders) tell(ctx context.Context, node int32, news led) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	if _, err := l.b.ask(ctx, node, question{Led: &news}); err != nil {
		l.b.logger.Debug("a broker was not told who leads", zap.Int32("broker", node), zap.Error(err))
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range news.Partitions {
			l.markLocked(node, place{p.Topic, p.Number})
		}
		if news.Offline != nil {
			l.untold[node] = true
		}
	}
}
