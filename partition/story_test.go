package partition

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

var rewrite = flag.Bool("rewrite", false, "write what happened into the stories")

// TestStories plays testdata/*.txt: a line that starts with "> " is a command, the lines under it are what the partition answered.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: the story went otherwise:\n%s", file, difference(string(want), got))
			}
		})
	}
}

func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, a[i], b[i])
		}
	}
	return "one is longer than the other"
}

type story struct {
	*replica
	names    []string
	pendings map[string]*Pending
}

func play(t *testing.T, text string) string {
	s := &story{replica: newReplica(t, Config{DeletePolicy: true, RetentionTime: -1, RetentionBytes: -1}), pendings: map[string]*Pending{}}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&out, line)
			if answer := s.do(strings.Fields(line[2:])); answer != "" {
				fmt.Fprintln(&out, answer)
			}
		case line == "", strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

// arguments are name=value pairs.
type arguments map[string]string

func (a arguments) number(name string, otherwise int64) int64 {
	v, ok := a[name]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *story) do(words []string) string {
	a := arguments{}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		a[name] = value
	}
	switch words[0] {
	case "elect":
		s.elect(log.Term(a.number("term", 1)))
	case "lead":
		s.term = log.Term(a.number("term", 1))
		s.p.Lead(s.term)
	case "resign":
		s.p.Resign(log.Term(a.number("term", 1)), int32(a.number("leader", -1)))
	case "refuse":
		s.refuse = errRefused
	case "accept":
		s.refuse = nil
	case "append":
		return s.append(a)
	case "follow": // a batch that another leader sent
		s.term = log.Term(a.number("term", 1))
		s.replica.append(log.Entry{Kind: log.KindBatch, Data: s.batch(a)})
	case "noop":
		s.term = log.Term(a.number("term", 1))
		s.replica.append(log.Entry{Kind: log.KindNoop})
	case "store":
		s.store(int(a.number("n", math.MaxInt)))
	case "lose": // a proposal gets lost on its way into the log
		s.queue = s.queue[1:]
	case "commit":
		s.commit(int(a.number("n", math.MaxInt)))
	case "truncate":
		s.truncate(log.Index(a.number("index", 0)))
	case "reopen":
		s.reopen()
	case "crash":
		s.crash()
	case "checkpoint-each":
		s.config.CheckpointEachBytes = a.number("bytes", 0)
		s.p.Configure(s.config)
	case "checkpoint":
		s.p.background.Wait()
		c := s.log.Checkpoint()
		return fmt.Sprintf("index %d, mark %d", c.Index, c.HighWatermark)
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.clock.advance(d)
	case "appends":
		return s.outcomes()
	case "offsets":
		return fmt.Sprintf("start %d, stable %d, mark %d, end %d", s.p.LogStart(), s.p.LastStable(), s.p.HighWatermark(), s.p.LogEnd())
	case "producers":
		return s.producers()
	case "read":
		return s.read(a)
	case "list":
		return s.list(a)
	case "epoch-end":
		epoch, end, err := s.p.EpochEnd(int32(a.number("leader-epoch", -1)), int32(a.number("epoch", 0)))
		return fmt.Sprintf("epoch %d ends at %d%s", epoch, end, tail(err))
	case "trim": // DeleteRecords without its wait
		d, err := s.p.proposeCommand(encodeTrim(log.Offset(a.number("to", 0))))
		if err != nil {
			return name(err)
		}
		s.remember(a["as"], d)
	default:
		s.t.Fatalf("unknown command %q", words[0])
	}
	return ""
}

func (s *story) crash() {
	clone := s.files.CrashClone(rand.New(rand.NewPCG(1, 2)))
	_ = s.p.Close()
	s.files = clone
	s.open()
}

func (s *story) batch(a arguments) []byte {
	return batchOf(s.clock.Now(), a.number("id", -1), int16(a.number("epoch", 0)), int32(a.number("seq", -1)), int(a.number("n", 1)))
}

func (s *story) append(a arguments) string {
	acks := map[string]Acks{"": AcksAll, "all": AcksAll, "1": AcksLeader, "0": AcksNone}[a["acks"]]
	d, err := s.p.Append(s.batch(a), acks)
	if err != nil {
		return name(err)
	}
	s.remember(a["as"], d)
	return ""
}

func (s *story) remember(name string, d *Pending) {
	if name == "" {
		name = strconv.Itoa(len(s.names) + 1)
	}
	s.names = append(s.names, name)
	s.pendings[name] = d
}

// outcomes says what became of the appends since it was last asked; those that wait are told again.
func (s *story) outcomes() string {
	var lines, waiting []string
	for _, n := range s.names {
		d := s.pendings[n]
		select {
		case <-d.Done():
			if d.err != nil {
				lines = append(lines, n+": "+name(d.err))
			} else {
				lines = append(lines, fmt.Sprintf("%s: offset %d", n, d.result.BaseOffset))
			}
		default:
			lines, waiting = append(lines, n+": waiting"), append(waiting, n)
		}
	}
	s.names = waiting
	return strings.Join(lines, "\n")
}

func (s *story) producers() string {
	var lines []string
	for _, pr := range s.p.Producers() {
		lines = append(lines, fmt.Sprintf("id %d epoch %d last %d", pr.ID, pr.Epoch, pr.LastSequence))
	}
	if lines == nil {
		return "none"
	}
	return strings.Join(lines, "\n")
}

func (s *story) read(a arguments) string {
	out, err := s.p.Read(Read{
		Offset: log.Offset(a.number("from", 0)), MaxBytes: 1 << 20, AtLeastOne: true,
		LeaderEpoch: int32(a.number("leader-epoch", -1)), LastFetchedEpoch: int32(a.number("last-epoch", -1)),
	})
	if err != nil {
		return name(err)
	}
	if out.Diverging != nil {
		return fmt.Sprintf("diverging: epoch %d ended at %d", out.Diverging.Epoch, out.Diverging.Offset)
	}
	if out.Chunk == nil {
		return "nothing"
	}
	defer out.Chunk.Release()
	b, err := out.Chunk.Bytes(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var parts []string
	for len(b) > 0 {
		h := log.Header(b)
		parts = append(parts, fmt.Sprintf("%d-%d@%d", h.BaseOffset(), h.LastOffset(), h.LeaderEpoch()))
		b = b[h.Size():]
	}
	return strings.Join(parts, " ")
}

func (s *story) list(a arguments) string {
	special := map[string]int64{"latest": Latest, "earliest": Earliest, "max": MaxTimestamp, "local": EarliestLocal, "tiered": LatestTiered, "upload": EarliestPendingUpload}
	at, ok := special[a["at"]]
	if !ok {
		at = a.number("at", 0)
		if at >= 0 {
			at += storyStart.UnixMilli()
		}
	}
	found, err := s.p.OffsetAt(at, ReadUncommitted, int32(a.number("leader-epoch", -1)))
	if err != nil {
		return name(err)
	}
	if found.Timestamp >= 0 {
		found.Timestamp -= storyStart.UnixMilli()
	}
	return fmt.Sprintf("offset %d, timestamp %d, epoch %d", found.Offset, found.Timestamp, found.Epoch)
}

// name is the short name of an error.
func name(err error) string {
	all := map[string]error{
		"NotLeader": ErrNotLeader, "Timeout": ErrTimeout, "OffsetOutOfRange": ErrOffsetOutOfRange, "OffsetNotAvailable": ErrOffsetNotAvailable,
		"FencedEpoch": ErrFencedEpoch, "UnknownEpoch": ErrUnknownEpoch, "TooLarge": ErrTooLarge, "Corrupt": ErrCorrupt,
		"InvalidTimestamp": ErrInvalidTimestamp, "DuplicateSequence": ErrDuplicateSequence, "OutOfOrderSequence": ErrOutOfOrderSequence,
		"InvalidEpoch": ErrInvalidEpoch, "InvalidTxnState": ErrInvalidTxnState, "PolicyViolation": ErrPolicyViolation,
		"UnsupportedVersion": ErrUnsupportedVersion, "Storage": ErrStorage, "Closed": ErrClosed,
	}
	var names []string
	for n, each := range all {
		if errors.Is(err, each) {
			names = append(names, n)
		}
	}
	var record *InvalidRecordError
	if errors.As(err, &record) {
		names = append(names, fmt.Sprintf("InvalidRecord %d: %s", record.BatchIndex, record.Reason))
	}
	if names == nil {
		return err.Error()
	}
	sort.Strings(names)
	return strings.Join(names, " ")
}

func tail(err error) string {
	if err == nil {
		return ""
	}
	return ": " + name(err)
}
