package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/log"
)

// woundLimit is how long a damage may take to be noticed, and to be healed.
const woundLimit = 30 * time.Second

// suffering is one kind of damage, done to a running node and to one that starts.
type suffering struct {
	options *faultsOptions
	damage  damage
	random  *rand.Rand
	trial   *trial
	victim  *member
	rows    []row
	spared  []stretch // offsets that may be lost
}

// run does all of it on a new cluster, and judges it.
func (s *suffering) run(ctx context.Context, dir string) error {
	t, err := s.options.begin(ctx, dir, 1, "barnabas.scrub.bytes.per.second=67108864", "barnabas.scrub.interval.ms=500")
	if err != nil {
		return err
	}
	defer t.close()
	s.trial = t
	s.victim = t.cluster.nodes[s.random.IntN(len(t.cluster.nodes))]
	var all error
	if s.damage.live {
		all = s.phase(ctx, false)
	}
	if all == nil {
		all = s.phase(ctx, true)
	}
	if all != nil {
		t.people.report()
		return all
	}
	return s.judge(t.finish(ctx))
}

// phase damages a file and follows what becomes of it. With start the node is killed at once, and what counts is what it does when it starts.
func (s *suffering) phase(ctx context.Context, start bool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	dir, err := s.prepared(ctx, ".log")
	if err == nil && s.damage.suffix == "checkpoint" { // a node that stops writes one
		s.victim.end(syscall.SIGTERM)
		err = s.victim.start()
	}
	if err == nil {
		dir, err = s.prepared(ctx, s.damage.suffix)
	}
	if err != nil {
		return err
	}
	r := row{damage: s.damage.name, phase: "running", role: s.role(ctx)}
	silence := listen(&s.trial.people.acked)
	defer silence.end()
	mark := position(s.victim.log())
	w, err := s.damage.inflictOn(dir, s.random)
	if err != nil {
		return err
	}
	r.did = filepath.Base(w.path) + ": " + w.said
	begun := time.Now()
	if start {
		r.phase = "kill -9, start"
		s.victim.end(syscall.SIGKILL)
		if err := s.victim.start(); err != nil {
			return err
		}
	}
	s.rows = append(s.rows, r)
	at := &s.rows[len(s.rows)-1]
	defer func() { at.silence = silence.end() }()
	if at.message, err = s.noticed(ctx, dir, w, mark); err != nil {
		return err
	}
	at.noticed = time.Since(begun)
	if strings.HasPrefix(at.message, "put back from the journal") {
		at.followed = "put back from the journal"
	} else if len(s.trial.cluster.nodes) == 1 && !s.damage.rebuilt {
		if s.damage.name == "cut-active" { // what was written between the look at the file and the damage is lost too
			w.lost.to = max(w.lost.to, s.lastAcknowledged())
		}
		at.lost = w.lost
		s.spared = append(s.spared, w.lost)
		err = s.operate(ctx, dir, at, mark, start)
	} else {
		switch {
		case s.damage.rebuilt:
			at.followed = "made anew from the log"
		case strings.HasPrefix(at.message, "log tail cut"): // nothing tells it from a write that was under way
			at.followed = "taken for a write that was cut short; the leader sent the rest again"
		default:
			at.followed, err = "fetched anew from the leader", s.completed(ctx, mark)
		}
	}
	if err == nil {
		err = s.whole(ctx, dir)
	}
	at.whole = time.Since(begun)
	if err == nil {
		err = s.acknowledges(ctx)
	}
	return err
}

// prepared waits until the victim's replica has sealed segments and a file with this suffix, and gives its directory.
func (s *suffering) prepared(ctx context.Context, suffix string) (dir string, err error) {
	err = until(ctx, woundLimit, func() error {
		found, _ := filepath.Glob(filepath.Join(s.victim.data(), "topics", faultsTopic, "0.*"))
		if len(found) != 1 {
			return fmt.Errorf("node %d has these directories of the partition: %v", s.victim.number, found)
		}
		dir = found[0]
		segments, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if len(segments) < 4 || len(files) == 0 {
			return fmt.Errorf("%s has %d segments and %d files %s", dir, len(segments), len(files), suffix)
		}
		return nil
	})
	return dir, err
}

// role is the victim's, before it suffers.
func (s *suffering) role(ctx context.Context) string {
	if len(s.trial.cluster.nodes) == 1 {
		return "alone"
	}
	role := "follower"
	_ = s.ask(ctx, func(ctx context.Context, admin *kadm.Client) error { // it is for the table only
		found, err := admin.Metadata(ctx, faultsTopic)
		if err == nil && found.Topics[faultsTopic].Partitions[0].Leader == int32(s.victim.number) {
			role = "leader"
		}
		return err
	})
	return role
}

func (s *suffering) ask(ctx context.Context, question func(context.Context, *kadm.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := s.trial.cluster.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	return question(ctx, kadm.NewClient(client))
}

// noticed waits for the line in which the node says what is damaged.
func (s *suffering) noticed(ctx context.Context, dir string, w wound, mark int64) (message string, err error) {
	name := filepath.Base(w.path)
	if strings.HasPrefix(s.damage.suffix, ".") {
		name = strings.TrimSuffix(name, s.damage.suffix)
	}
	err = until(ctx, woundLimit, func() error {
		lines, err := saidSince(s.victim.log(), mark)
		if err != nil {
			return err
		}
		for _, each := range lines {
			if each.about(dir) && strings.Contains(each.String(), name) {
				message = each.String()
				return nil
			}
		}
		return fmt.Errorf("node %d says nothing of %s (%s)", s.victim.number, w.path, w.said)
	})
	return message, err
}

// completed waits until the node says that the replica was fetched anew.
func (s *suffering) completed(ctx context.Context, mark int64) error {
	return until(ctx, woundLimit, func() error {
		lines, err := saidSince(s.victim.log(), mark)
		if err != nil {
			return err
		}
		for _, each := range lines {
			if each.Message == "replica was fetched anew and is complete" && each.Topic == faultsTopic {
				return nil
			}
		}
		return fmt.Errorf("node %d did not fetch its replica anew", s.victim.number)
	})
}

// whole waits until nothing is wrong with the victim's files, and nothing is set aside.
func (s *suffering) whole(ctx context.Context, dir string) error {
	return until(ctx, woundLimit, func() error {
		if found, _ := filepath.Glob(dir + ".*"); len(found) > 0 {
			return fmt.Errorf("still there: %v", found)
		}
		report, err := log.Inspect(dir, log.InspectOptions{})
		if err != nil {
			return err
		}
		for _, f := range report.Findings {
			if !f.Torn && f.File != "checkpoint" { // as the end of a log that is being written may look; the next checkpoint takes the damaged one's place in its own time
				return fmt.Errorf("%s at %d: %s", f.File, f.Position, f.Reason)
			}
		}
		return nil
	})
}

// acknowledges waits until producers get somewhere.
func (s *suffering) acknowledges(ctx context.Context) error {
	before := s.trial.people.acked.Load()
	return until(ctx, woundLimit, func() error {
		if s.trial.people.acked.Load() < before+100 {
			return errors.New("nothing is acknowledged any more")
		}
		return nil
	})
}

// until asks again and again until there is no error, or limit has passed; then the error is the last one.
func until(ctx context.Context, limit time.Duration, question func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := question()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// silence finds the longest time in which a counter stood still.
type silence struct {
	stop    chan struct{}
	done    sync.WaitGroup
	once    sync.Once
	longest time.Duration // once done
}

func listen(counter interface{ Load() int64 }) *silence {
	s := &silence{stop: make(chan struct{})}
	s.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		last, since := counter.Load(), time.Now()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			now := counter.Load()
			s.longest = max(s.longest, time.Since(since))
			if now != last {
				last, since = now, time.Now()
			}
		}
	})
	return s
}

// end gives the longest silence. May be called again.
func (s *silence) end() time.Duration {
	s.once.Do(func() { close(s.stop) })
	s.done.Wait()
	return s.longest
}
