package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// openLimit is how many partitions are opened or closed at the same time. Opening waits for the disk, not for a core.
const openLimit = 32

// syncLimit is how many partitions sync to disk at the same time. Disks take many at once far faster than one after another, and more than these no faster.
const syncLimit = 32

// replica is one partition that this node hosts.
type replica struct {
	topic  *metadata.Topic // as it was when the replica was opened
	number int32
	dir    string   // "" while home is unknown
	home   *dataDir // where dir lies; nil while that is unknown
	part   *partition.Partition
	group  *replication.Group
	// inSync is how many replicas were in sync when it was looked at last (watchInSync).
	inSync atomic.Int32
	accord accord
	// cleaned and scrubbed are what compaction and scrub last did here; nil: nothing yet.
	cleaned  atomic.Pointer[cleaned]
	scrubbed atomic.Pointer[scrubbedTo]
	// anew is set for a replica that has lost its log, and is fetched from the leader.
	anew *anew
	// ails is since when the nurse has known that the replica does not work, in milliseconds since 1970; 0: it does.
	ails atomic.Int64
	// err is why the replica could not be opened; part and group are nil then.
	err error
}

func (r *replica) place() place { return place{r.topic.ID, r.number} }

// hostedTopic has one slot for each partition of a topic; slots of partitions that live elsewhere stay nil.
type hostedTopic struct {
	topic    atomic.Pointer[metadata.Topic]
	replicas []atomic.Pointer[replica]
}

// hosting starts and stops partitions so that what runs here is what the image says. Look-ups take no lock.
type hosting struct {
	b     *Broker
	homes *homes // in which directory each replica lives

	// mu serialises converge; topics is replaced, never changed, under it.
	mu     sync.Mutex
	topics atomic.Pointer[map[metadata.TopicID]*hostedTopic]

	remover *log.Remover  // of the files that nobody needs any more
	syncs   chan struct{} // one element for each fdatasync under way on this node
	changed broadcast     // leadership of any partition, or a partition opened or closed
	ailing  broadcast     // a replica has stopped, or a directory is back
}

func newHosting(b *Broker, homes *homes) *hosting {
	h := &hosting{b: b, homes: homes, syncs: make(chan struct{}, syncLimit), remover: log.NewRemover(b.opts.FS, b.logger)}
	h.topics.Store(&map[metadata.TopicID]*hostedTopic{})
	return h
}

// find returns the replica, or nil when this node does not host it.
func (h *hosting) find(topic metadata.TopicID, number int32) *replica {
	t := (*h.topics.Load())[topic]
	if t == nil || number < 0 || int(number) >= len(t.replicas) {
		return nil
	}
	return t.replicas[number].Load()
}

// each calls f for every replica that could be opened.
func (h *hosting) each(f func(*replica)) {
	for _, t := range *h.topics.Load() {
		for i := range t.replicas {
			if r := t.replicas[i].Load(); r != nil && r.err == nil {
				f(r)
			}
		}
	}
}

// converge makes what runs here what the image says: topics that are gone are stopped and deleted, new partitions are opened, changed configurations handed on.
func (h *hosting) converge(image *metadata.Image) {
	h.mu.Lock()
	defer h.mu.Unlock()

	old := *h.topics.Load()
	next := make(map[metadata.TopicID]*hostedTopic, len(image.ByID))
	var opened, leaving []*replica
	for id, topic := range image.ByID {
		t := old[id]
		if t == nil || len(t.replicas) < len(topic.Partitions) {
			t = grow(t, len(topic.Partitions))
		}
		if previous := t.topic.Swap(topic); previous != nil && previous != topic {
			h.configure(t, topic, image)
		}
		next[id] = t
		leaving = append(leaving, h.moved(t, topic)...)
		opened = append(opened, h.missing(t, topic)...)
	}
	h.topics.Store(&next)

	var work errgroup.Group
	work.SetLimit(openLimit)
	for id, t := range old {
		if next[id] == nil {
			h.deleteTopic(&work, t)
		}
	}
	for _, r := range leaving {
		work.Go(func() error {
			h.b.logger.Info("partition has moved away", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number))
			if err := h.delete(r); err != nil {
				h.b.logger.Error("a partition that moved away left files behind", zap.String("directory", r.dir), zap.Error(err))
			}
			return nil
		})
	}
	for _, r := range opened {
		work.Go(func() error {
			h.open(r, image)
			next[r.topic.ID].replicas[r.number].Store(r)
			h.changed.wake()
			return nil
		})
	}
	_ = work.Wait() // the functions report their own errors, each for its replica
	h.changed.wake()
}

// grow copies a topic's slots into a longer row.
func grow(t *hostedTopic, partitions int) *hostedTopic {
	g := &hostedTopic{replicas: make([]atomic.Pointer[replica], partitions)}
	if t != nil {
		g.topic.Store(t.topic.Load())
		for i := range t.replicas {
			g.replicas[i].Store(t.replicas[i].Load())
		}
	}
	return g
}

// moved takes out the replicas of topic that are no longer this node's: the group has removed it, or the metadata would still say otherwise.
func (h *hosting) moved(t *hostedTopic, topic *metadata.Topic) (out []*replica) {
	for number, p := range topic.Partitions {
		if r := t.replicas[number].Load(); r != nil && !slices.Contains(p.Replicas, h.b.nodeID) {
			t.replicas[number].Store(nil)
			out = append(out, r)
		}
	}
	return out
}

// missing lists the partitions of topic that this node should host and does not.
func (h *hosting) missing(t *hostedTopic, topic *metadata.Topic) []*replica {
	var out []*replica
	for number, p := range topic.Partitions {
		if t.replicas[number].Load() == nil && slices.Contains(p.Replicas, h.b.nodeID) {
			out = append(out, &replica{topic: topic, number: int32(number)})
		}
	}
	return out
}

func groupID(topic metadata.TopicID, number int32) string { return fmt.Sprintf("%s-%d", topic, number) }

// open opens one replica: log, partition, group. What goes wrong stays with the replica, and is the operator's to read.
func (h *hosting) open(r *replica, image *metadata.Image) {
	if r.err = h.tryOpen(r, image); r.err != nil {
		h.b.refetcher.suspect(r.place(), r.err)
		h.b.logger.Error("partition is offline", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Error(r.err))
	}
}

func (h *hosting) tryOpen(r *replica, image *metadata.Image) error {
	logger := h.b.logger.WithLazy(zap.String("topic", r.topic.Name), zap.Int32("partition", r.number))
	config := h.b.partitionConfig(r.topic, image)
	fresh, err := h.house(r)
	if err != nil {
		return err
	}
	l, err := log.Open(r.dir, log.Options{Config: config.Log, FS: h.b.opts.FS, Logger: logger, SyncSlots: h.syncs,
		SameBoot: h.b.sameBoot && phase(h.b.phase.Load()) == starting, Remover: h.remover, Metrics: h.b.observed.log, Journal: r.home.journalOf()})
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if fresh {
		if err := h.homes.enter(r.home.identity(), r.place()); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	assignment := r.topic.Partitions[r.number]
	assigned := assignment.Replicas
	r.inSync.Store(int32(len(assigned)))
	p, err := partition.Open(partition.Options{Topic: r.topic.Name, Number: r.number, NodeID: h.b.nodeID, Log: l, Config: config, Logger: logger,
		InSyncCount: func() int { return int(r.inSync.Load()) }, Metrics: h.b.observed.partition,
		Room: r.room, Alone: func() bool { return len(assigned) == 1 },
		Suspect: func(err error) { h.b.refetcher.suspect(r.place(), err) }})
	if err != nil {
		return errors.Join(fmt.Errorf("open partition: %w", err), l.Close())
	}
	options := replication.GroupOptions{
		ID:        groupID(r.topic.ID, r.number),
		Log:       l,
		Machine:   &driven{Partition: p, hosting: h, replica: r},
		Voters:    h.founders(&assignment),
		Preferred: assigned[0] == h.b.nodeID,
		Room:      r.room,
		Bind:      func(g *replication.Group) { p.Bind(g) },
	}
	if r.anew != nil {
		options.Recovering, options.Term, options.OtherHasAll = true, r.anew.term, r.anew.deputy
	}
	g, err := h.b.node.StartGroup(options)
	if err != nil {
		return errors.Join(fmt.Errorf("start group: %w", err), p.Close())
	}
	r.part, r.group = p, g
	return nil
}

// founders are the voters to found a group with: none on a node that is to be added by the leader.
func (h *hosting) founders(p *metadata.Partition) []int32 {
	if f := p.Founders(); slices.Contains(f, h.b.nodeID) {
		return f
	}
	return nil
}

// configure hands a changed topic configuration to the topic's open partitions.
func (h *hosting) configure(t *hostedTopic, topic *metadata.Topic, image *metadata.Image) {
	config := h.b.partitionConfig(topic, image)
	for i := range t.replicas {
		if r := t.replicas[i].Load(); r != nil && r.err == nil {
			r.part.Configure(config)
		}
	}
}

// reconfigure does so for every topic: a broker default changed.
func (h *hosting) reconfigure(image *metadata.Image) {
	for _, t := range *h.topics.Load() {
		h.configure(t, t.topic.Load(), image)
	}
}

// deleteTopic stops a deleted topic's replicas, then removes their files and votes.
func (h *hosting) deleteTopic(work *errgroup.Group, t *hostedTopic) {
	topic := t.topic.Load()
	var left sync.WaitGroup
	for i := range t.replicas {
		r := t.replicas[i].Load()
		if r == nil {
			continue
		}
		left.Add(1)
		work.Go(func() error {
			defer left.Done()
			if err := h.delete(r); err != nil {
				h.b.logger.Error("deleted topic left files behind", zap.String("topic", topic.Name), zap.Int32("partition", r.number),
					zap.String("directory", r.dir), zap.Error(err))
			}
			return nil
		})
	}
	left.Wait()
	for _, d := range h.b.dirs.data {
		_ = os.Remove(filepath.Join(d.topics(), topic.Name)) // stays when a successor of the same name lives in it
	}
}

func (h *hosting) delete(r *replica) error {
	if r.err == nil {
		if err := r.close(); err != nil {
			h.b.logger.Warn("close of a deleted partition", zap.String("directory", r.dir), zap.Error(err))
		}
	}
	if err := h.b.node.Forget(groupID(r.topic.ID, r.number)); err != nil {
		return fmt.Errorf("forget vote: %w", err)
	}
	if err := h.homes.leave(r.place()); err != nil || r.dir == "" {
		return err
	}
	kept, err := aside(r.dir)
	for _, dir := range kept {
		err = errors.Join(err, h.discard(dir))
	}
	return errors.Join(err, h.discard(r.dir))
}

// discard has the directory of a partition removed, in the background, and that of its topic if it is empty then.
func (h *hosting) discard(dir string) error {
	return log.Remove(h.b.opts.FS, dir, h.remover, func() { h.vacate(filepath.Dir(dir)) })
}

// vacate removes the directory of a topic unless something is in it.
func (h *hosting) vacate(dir string) {
	h.mu.Lock() // no partition is being opened in it
	defer h.mu.Unlock()
	_ = os.Remove(dir)
}

func (r *replica) close() error {
	return errors.Join(r.group.Close(), r.part.Close())
}

// close stops every partition.
func (h *hosting) close() error {
	defer h.remover.Close() // it takes mu
	h.mu.Lock()
	defer h.mu.Unlock()
	var work errgroup.Group
	work.SetLimit(openLimit)
	h.each(func(r *replica) { work.Go(r.close) })
	err := work.Wait()
	h.topics.Store(&map[metadata.TopicID]*hostedTopic{})
	return err
}

// assigned says whether this node has a replica of the partition with that number.
func (h *hosting) assigned(t *metadata.Topic, number string) bool {
	n, err := strconv.Atoi(number)
	return err == nil && n >= 0 && n < len(t.Partitions) && slices.Contains(t.Partitions[n].Replicas, h.b.nodeID)
}

// led says whether every partition of the topic has a leader that this node knows of.
func (h *hosting) led(topic *metadata.Topic) bool {
	for number, p := range topic.Partitions {
		r := h.find(topic.ID, int32(number))
		if r == nil && slices.Contains(p.Replicas, h.b.nodeID) {
			return false // it is about to be opened
		}
		if r != nil && r.err != nil {
			continue // will not get better by waiting
		}
		if node, _ := h.b.Leader(topic.ID, int32(number)); node < 0 {
			return false
		}
	}
	return true
}

// awaitLeader waits until the partition has a leader that this node knows of, and returns it; -1 when patience or ctx ends before.
func (h *hosting) awaitLeader(ctx context.Context, topic metadata.TopicID, number int32, patience time.Duration) int32 {
	var limit <-chan time.Time
	for {
		wake := h.changed.wait()
		if node, _ := h.b.Leader(topic, number); node >= 0 {
			return node
		}
		if limit == nil {
			limit = time.After(patience)
		}
		select {
		case <-wake:
		case <-limit:
			return -1
		case <-ctx.Done():
			return -1
		}
	}
}

// awaitLeaders waits until the topic's partitions are led, or ctx ends.
func (h *hosting) awaitLeaders(ctx context.Context, topic *metadata.Topic) error {
	for {
		wake := h.changed.wait()
		if h.led(topic) {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
