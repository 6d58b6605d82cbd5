package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// PositionHelp describes for --help what ParsePosition reads.
const PositionHelp = `A position is one of
  start                  the first record that the partition still holds
  end                    after the last record
  1234                   that offset
  -100                   so many records before the end of each partition
  2026-01-31T08:30:00Z   the first record with that timestamp or a later one; a date alone or a time
                         without a zone is taken as UTC
  @1700000000000         the same, in milliseconds since 1970
  -1h, -90m, -7d         the same, so long ago`

type positionKind int

const (
	atStart positionKind = iota
	atEnd
	atOffset
	beforeEnd
	atTime
)

// Position is a place in every partition of a topic, as a person names it. The zero value is the start.
type Position struct {
	kind positionKind
	n    int64 // offset, records before the end, or milliseconds since 1970
}

// ParsePosition reads what PositionHelp describes. Relative times count back from now.
func ParsePosition(s string, now time.Time) (Position, error) {
	switch strings.ToLower(s) {
	case "start", "beginning", "earliest":
		return Position{kind: atStart}, nil
	case "end", "latest":
		return Position{kind: atEnd}, nil
	case "":
		return Position{}, Usagef("a position is missing: start, end, an offset, -N, a time, @milliseconds or -1h")
	}
	if ms, found := strings.CutPrefix(s, "@"); found {
		n, err := strconv.ParseInt(ms, 10, 64)
		if err != nil || n < 0 {
			return Position{}, Usagef("%q: write milliseconds since 1970 after the @", s)
		}
		return Position{atTime, n}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && s[0] != '+' {
		if s[0] == '-' {
			return Position{beforeEnd, -n}, nil
		}
		return Position{atOffset, n}, nil
	}
	if ago, found := strings.CutPrefix(s, "-"); found {
		d, err := ParseSpan(ago)
		if err != nil {
			return Position{}, Usagef("%q is not a position: after the minus write a number of records or a duration such as 90m, 1h, 7d", s)
		}
		return Position{atTime, max(0, now.Add(-d).UnixMilli())}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return Position{atTime, max(0, t.UnixMilli())}, nil
		}
	}
	return Position{}, Usagef("%q is not a position: use start, end, an offset, -N, a time (2026-01-31T08:30:00Z), @milliseconds or -1h", s)
}

// IsStart says whether the position is the start.
func (p Position) IsStart() bool { return p.kind == atStart }

// IsEnd says whether the position is the end.
func (p Position) IsEnd() bool { return p.kind == atEnd }

// Milliseconds is the time of a position in time; ok is false for every other.
func (p Position) Milliseconds() (ms int64, ok bool) { return p.n, p.kind == atTime }

// Range is what a partition holds: offsets from Start up to, not including, End.
type Range struct{ Start, End int64 }

// Ranges has the range of each partition by topic.
type Ranges map[string]map[int32]Range

// ListRanges asks for start and end of every partition of the topics. committed takes the last stable offset as the end.
func (s *Session) ListRanges(ctx context.Context, committed bool, topics ...string) (Ranges, error) {
	starts, err := s.listed(ctx, func() (kadm.ListedOffsets, error) { return s.Admin.ListStartOffsets(ctx, topics...) })
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	listEnds := s.Admin.ListEndOffsets
	if committed {
		listEnds = s.Admin.ListCommittedOffsets
	}
	ends, err := s.listed(ctx, func() (kadm.ListedOffsets, error) { return listEnds(ctx, topics...) })
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	ranges := Ranges{}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if ranges[end.Topic] == nil {
			ranges[end.Topic] = map[int32]Range{}
		}
		ranges[end.Topic][end.Partition] = Range{start.Offset, max(start.Offset, end.Offset)}
	})
	return ranges, nil
}

// electionPause is how long a partition that has no leader is given before it is asked for again; electionAttempts how often: a new topic's leaders may not be known to
// every broker yet, and after a leader's death another one is being elected.
const (
	electionPause    = 100 * time.Millisecond
	electionAttempts = 50
)

// listed asks, again while a partition has no leader, and folds the errors of single partitions into one.
func (s *Session) listed(ctx context.Context, list func() (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
	for range electionAttempts {
		offsets, err := listedOnce(list())
		if !errors.Is(err, kerr.LeaderNotAvailable) && !errors.Is(err, kerr.NotLeaderForPartition) {
			return offsets, err
		}
		select {
		case <-time.After(electionPause):
		case <-ctx.Done():
			return offsets, err
		}
	}
	return listedOnce(list())
}

func listedOnce(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err != nil {
		return nil, err
	}
	offsets.Each(func(o kadm.ListedOffset) {
		if o.Err != nil && err == nil {
			err = partitionError(o.Topic, o.Partition, o.Err)
		}
	})
	return offsets, err
}

func partitionError(topic string, partition int32, err error) error {
	err = fmt.Errorf("%s/%d: %w", topic, partition, Refused(err, ""))
	if errors.Is(err, kerr.LeaderNotAvailable) || errors.Is(err, kerr.NotLeaderForPartition) {
		return WithHint(err, "the partition has no leader at the moment: barnabas topic describe %s", topic)
	}
	return err
}

// Resolve turns the position into an offset for every partition of ranges. Offsets outside a range are moved to its nearer end.
func (p Position) Resolve(ctx context.Context, s *Session, ranges Ranges) (map[string]map[int32]int64, error) {
	var timed kadm.ListedOffsets
	if p.kind == atTime && len(ranges) > 0 {
		var topics []string
		for topic := range ranges {
			topics = append(topics, topic)
		}
		var err error
		if timed, err = s.listed(ctx, func() (kadm.ListedOffsets, error) { return s.Admin.ListOffsetsAfterMilli(ctx, p.n, topics...) }); err != nil {
			return nil, fmt.Errorf("look up offsets by time: %w", err)
		}
	}
	out := map[string]map[int32]int64{}
	for topic, partitions := range ranges {
		out[topic] = map[int32]int64{}
		for partition, r := range partitions {
			out[topic][partition] = p.within(r, timed, topic, partition)
		}
	}
	return out, nil
}

func (p Position) within(r Range, timed kadm.ListedOffsets, topic string, partition int32) int64 {
	offset := r.Start
	switch p.kind {
	case atEnd:
		offset = r.End
	case atOffset:
		offset = p.n
	case beforeEnd:
		offset = r.End - p.n
	case atTime:
		offset = r.End
		if found, ok := timed.Lookup(topic, partition); ok && found.Offset >= 0 {
			offset = found.Offset
		}
	}
	return min(max(offset, r.Start), r.End)
}
