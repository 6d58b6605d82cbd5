package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
)

// A replica whose files are corrupt is fetched anew from the partition's leader. Its directory is renamed to <directory>.corrupt-<time>, and stays until the new one has everything: it is
// what can be saved if the other replicas are lost meanwhile, and, being there, it says that this replica has forgotten what it promised (see replication.Group.Recovered and
// docs/decisions/0013). A replica that is alone with its partition stays as it is, for `barnabas log repair`.

// asideMark is in the name of a directory that was set aside.
const asideMark = ".corrupt-"

const (
	// refetchPause lies between two looks at what is being fetched anew.
	refetchPause = 100 * time.Millisecond
	// refetchNote is how often the log says what is still waited for.
	refetchNote = 30 * time.Second
	// askLimit bounds a question to another node.
	askLimit = time.Second
)

// errAside says that a replica's files were set aside and nothing has taken their place yet.
var errAside = fmt.Errorf("%w: the replica's files were set aside, and it is fetched anew as soon as the other replicas answer", log.ErrCorrupt)

// refetcher takes care of the replicas of this node that are corrupt. One goroutine does all the work; nobody who reports something waits for it.
type refetcher struct {
	b    *Broker
	kick chan struct{} // capacity 1: somebody has reported something

	mu      sync.Mutex // guards following
	lost    map[place]*lost
	fetched int64 // replicas that were fetched anew
}

// lost is one such replica. After it was entered, only the refetcher's goroutine looks at what changes in it.
type lost struct {
	why   error              // as since, never changed
	since time.Time          // when it was found out
	terms map[int32]log.Term // what other replicas said of the term
	tail  *replication.Tail  // the end of a leader's log, which this replica is to reach
	first bool               // no leader was asked yet
	dir   os.FileInfo        // of a replica that is alone: what it was when it was found damaged
	noted time.Time
}

func newRefetcher(b *Broker) *refetcher {
	return &refetcher{b: b, kick: make(chan struct{}, 1), lost: map[place]*lost{}}
}

// suspect is told of every error that a replica met. Those that are not of corrupt files are nothing to it. Never waits.
func (f *refetcher) suspect(p place, err error) {
	if errors.Is(err, log.ErrCorrupt) {
		f.enter(p, err)
	}
}

// mayOpen refuses to open a replica of which something was set aside, before the refetcher has found out how. So does it with one whose directory is gone although this node has voted
// in its group: that has lost its log too.
func (f *refetcher) mayOpen(r *replica) error {
	if r.anew != nil {
		return nil
	}
	kept, err := aside(r.dir)
	if err != nil {
		return fmt.Errorf("look for what was set aside: %w", err)
	}
	if len(kept) > 0 {
		f.enter(r.place(), fmt.Errorf("%w earlier, see %s", errAside, kept[0]))
		return errAside
	}
	if _, err := os.Stat(r.dir); !errors.Is(err, fs.ErrNotExist) || !f.b.node.Promised(groupID(r.topic.ID, r.number)) {
		return nil
	}
	gone := fmt.Errorf("%w: directory %s is gone, and this node has voted on its partition", log.ErrCorrupt, r.dir)
	if len(f.others(r)) > 0 {
		if err := os.MkdirAll(r.dir, 0o755); err != nil {
			return err
		}
	}
	return gone
}

func (f *refetcher) enter(p place, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost[p] == nil {
		f.lost[p] = &lost{why: why, since: time.Now(), terms: map[int32]log.Term{}, first: true}
	}
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (f *refetcher) leave(p place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.lost, p)
}

func (f *refetcher) all() map[place]*lost {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[place]*lost, len(f.lost))
	for p, l := range f.lost {
		all[p] = l
	}
	return all
}

// run works until ctx ends.
func (f *refetcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		all := f.all()
		if len(all) == 0 {
			select {
			case <-f.kick:
			case <-ctx.Done():
			}
			continue
		}
		for p, l := range all {
			if ctx.Err() == nil {
				f.step(ctx, p, l)
			}
		}
		pause(ctx, refetchPause)
	}
}

// step does what can be done now for one replica.
func (f *refetcher) step(ctx context.Context, p place, l *lost) {
	r := f.b.hosting.find(p.topic, p.number)
	if r == nil { // deleted, or moved away
		f.leave(p)
		return
	}
	others := f.others(r)
	switch {
	case r.err == nil && r.part.Err() == nil && r.group.Recovering():
		f.catchUp(ctx, r, l)
	case len(others) == 0:
		f.alone(r, l)
	case errors.Is(r.err, errAside):
		f.comeBack(ctx, r, l, others)
	case r.dir == "" || r.ailment() != nil && !errors.Is(r.ailment(), log.ErrCorrupt): // the nurse sees to it; what was fetched so far is kept
	case r.err != nil, r.part.Err() != nil:
		f.setAside(r, l)
	case f.expendable(ctx, r):
		f.setAside(r, l)
	case r.dir != "":
		f.note(l, "replica is corrupt, and stays because too few others are in sync", r)
	}
}

// others are the other nodes that have the partition.
func (f *refetcher) others(r *replica) (nodes []int32) {
	t := f.b.Image().ByID[r.topic.ID]
	if t == nil || int(r.number) >= len(t.Partitions) {
		return nil
	}
	p := t.Partitions[r.number]
	for _, n := range slices.Concat(p.Replicas, p.Target) {
		if n != f.b.nodeID && !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (f *refetcher) note(l *lost, what string, r *replica) {
	if time.Since(l.noted) >= refetchNote {
		l.noted = time.Now()
		f.b.logger.Warn(what, zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.String("directory", r.dir), zap.NamedError("damage", l.why))
	}
}

// alone is for a replica that nobody else has. What is sound in it goes on being served.
func (f *refetcher) alone(r *replica, l *lost) {
	now, err := os.Stat(r.dir)
	if err == nil && l.dir == nil {
		l.dir = now
	}
	if err == nil && r.err != nil && !os.SameFile(l.dir, now) { // the operator has put another directory in its place
		f.leave(r.place())
		h := f.b.hosting
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.find(r.topic.ID, r.number) == r {
			next := h.again(r)
			h.open(next, f.b.Image())
			h.replace(r, next)
		}
		return
	}
	if l.noted.IsZero() {
		l.noted = time.Now()
		f.b.logger.Error("partition is corrupt, and there is no other replica to fetch it from: stop the node and see what `barnabas log repair` can save",
			zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.String("directory", r.dir), zap.Error(l.why))
	}
}

// expendable says whether a replica that still works may go: enough others have everything, and it does not lead. A leader hands over first.
func (f *refetcher) expendable(ctx context.Context, r *replica) bool {
	var in []int32
	_, _, here := r.part.Leader()
	if here {
		in = r.group.InSync()
	} else if known, ok := f.b.leaders.find(r.place()); ok {
		in = known.inSync
	}
	in = slices.DeleteFunc(slices.Clone(in), func(n int32) bool { return n == f.b.nodeID })
	if len(in) < min(2, len(f.others(r))) {
		return false
	}
	if here {
		f.b.transfer(ctx, r, in[0])
		return false // looked at again as a follower
	}
	return true
}

// setAside closes a replica and renames its directory.
func (f *refetcher) setAside(r *replica, l *lost) {
	h := f.b.hosting
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.find(r.topic.ID, r.number) != r {
		return
	}
	if r.err == nil {
		if err := r.close(); err != nil {
			f.b.logger.Warn("close of a corrupt replica", zap.String("directory", r.dir), zap.Error(err))
		}
	}
	next := h.again(r)
	if next.err = h.rename(r.dir, l.why); next.err == nil {
		next.err = fmt.Errorf("%w: %w", errAside, l.why)
		f.b.logger.Error("replica is corrupt: it was set aside and is fetched anew from the leader", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number),
			zap.String("directory", r.dir), zap.Error(l.why))
	}
	h.replace(r, next)
}

// again is a replica in the same place that was not opened yet, of the topic as it is configured by now. mu is held.
func (h *hosting) again(r *replica) *replica {
	return &replica{topic: (*h.topics.Load())[r.topic.ID].topic.Load(), number: r.number, dir: r.dir}
}

// openAgain opens the replica in the place of r, which is closed or was never open. Why that failed is for the caller to tell. mu is held.
func (h *hosting) openAgain(r *replica, image *metadata.Image) *replica {
	next := h.again(r)
	if next.err = h.tryOpen(next, image); next.err != nil {
		next.ails.Store(r.ails.Load())
	}
	h.replace(r, next)
	return next
}

// replace puts next in the place of r. mu is held.
func (h *hosting) replace(r, next *replica) {
	(*h.topics.Load())[r.topic.ID].replicas[r.number].Store(next)
	h.changed.wake()
}

// rename gives a directory its name aside, durably, unless an earlier one is there: then what was fetched so far is of no use to anybody.
func (h *hosting) rename(dir string, why error) error {
	if kept, err := aside(dir); err != nil || len(kept) > 0 {
		if err == nil {
			err = h.discard(dir)
		}
		return err
	}
	if err := os.Rename(dir, dir+asideMark+time.Now().UTC().Format("20060102T150405Z")); err != nil {
		return fmt.Errorf("set aside (%w): %w", why, err)
	}
	return vfs.OS{}.SyncDir(filepath.Dir(dir))
}

// aside lists the directories of a replica that were set aside.
func aside(dir string) ([]string, error) {
	all, err := filepath.Glob(escapeGlob(dir) + asideMark + "*")
	return slices.DeleteFunc(all, log.Removed), err
}

// escapeGlob makes a path match itself only.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// withoutAside is the name of the directory that something was set aside from, and whether that is so.
func withoutAside(name string) (string, bool) {
	before, _, is := strings.Cut(name, asideMark)
	return before, is
}

// comeBack opens a replica anew once enough others have said which term it is. Whoever leads in a later term than all that this node may have forgotten was elected by a majority;
// so many of the others are asked that one of those is among them.
func (f *refetcher) comeBack(ctx context.Context, r *replica, l *lost, others []int32) {
	unasked := slices.DeleteFunc(slices.Clone(others), func(node int32) bool {
		_, known := l.terms[node]
		return known
	})
	var asking sync.WaitGroup
	var mu sync.Mutex // guards l.terms until all have answered
	for _, node := range unasked {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			answer, err := f.b.ask(ctx, node, question{Refetch: &refetch{Topic: r.topic.ID, Number: r.number}})
			if err == nil && answer.Refetch != nil {
				mu.Lock()
				defer mu.Unlock()
				l.terms[node] = answer.Refetch.Current
			}
		})
	}
	asking.Wait()
	if len(l.terms) < max(1, len(others)/2) {
		f.note(l, "replica is to be fetched anew, and waits for the other replicas", r)
		return
	}
	h := f.b.hosting
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.find(r.topic.ID, r.number) != r {
		return
	}
	next := h.again(r)
	next.anew = &anew{deputy: len(others) == 1}
	for _, term := range l.terms {
		next.anew.term = max(next.anew.term, term)
	}
	h.open(next, f.b.Image())
	h.replace(r, next)
	l.first, l.tail = true, nil
}

// anew says how a replica is opened that has lost its log.
type anew struct {
	term   log.Term // at least that was reached
	deputy bool     // there is only one other voter
}

// catchUp asks the leader where its log ends, and lets the replica take part in elections again when it has come that far.
func (f *refetcher) catchUp(ctx context.Context, r *replica, l *lost) {
	leader, term := r.group.Leader()
	if l.tail != nil && l.tail.Leading != term {
		l.tail = nil // another leader: what the first one had may be gone
	}
	if l.tail == nil {
		if leader < 0 || leader == f.b.nodeID {
			f.note(l, "replica that lost its files waits for a leader to fetch them from", r)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		answer, err := f.b.ask(ctx, leader, question{Refetch: &refetch{Topic: r.topic.ID, Number: r.number, Tail: true, First: l.first}})
		if err != nil || answer.Refetch == nil {
			return
		}
		l.first, l.tail = false, &answer.Refetch.Tail
	}
	holds, passed := r.group.Holds(*l.tail)
	if !holds {
		if passed {
			l.tail = nil // the end was replaced by another leader's
		}
		f.note(l, "replica is being fetched anew", r)
		return
	}
	f.finish(r, l)
}

// finish makes what was fetched durable, and then forgets that anything was lost.
func (f *refetcher) finish(r *replica, l *lost) {
	h := f.b.hosting
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.find(r.topic.ID, r.number) != r {
		return
	}
	err := r.part.Sync()
	kept, e := aside(r.dir)
	if err = errors.Join(err, e); err != nil {
		f.note(l, "replica was fetched anew, and not made durable", r)
		return
	}
	for _, dir := range kept {
		if err := h.discard(dir); err != nil {
			f.b.logger.Error("what was set aside of a corrupt replica stays", zap.String("directory", dir), zap.Error(err))
			return
		}
	}
	r.group.Recovered()
	f.mu.Lock()
	delete(f.lost, r.place())
	f.fetched++
	f.mu.Unlock()
	f.b.logger.Info("replica was fetched anew and is complete", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Int64("end", int64(r.part.LogEnd())))
}

// refetch is asked by a node that has lost a replica: for the term, or for the end of the leader's log.
type refetch struct {
	Topic  metadata.TopicID `json:"topic"`
	Number int32            `json:"number"`
	Tail   bool             `json:"tail,omitempty"`
	First  bool             `json:"first,omitempty"`
}

type refetchReply struct {
	Current log.Term         `json:"current"`
	Tail    replication.Tail `json:"tail"`
}

// refetched answers. Who does not have the partition open says nothing of it.
func (b *Broker) refetched(from int32, q refetch) reply {
	r := b.hosting.find(q.Topic, q.Number)
	if r == nil || r.err != nil {
		return reply{Error: &metadata.Error{Code: metadata.CodeUnknownTopicOrPartition, Message: "this node does not have that partition open"}}
	}
	answer := refetchReply{Current: r.group.Term()}
	if q.Tail {
		tail, err := r.group.Tail(from, q.First)
		if err != nil {
			return reply{Error: &metadata.Error{Code: metadata.CodeUnknownTopicOrPartition, Message: err.Error()}}
		}
		answer.Tail = tail
	}
	return reply{Refetch: &answer}
}
