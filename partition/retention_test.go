package partition

import (
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

func TestRetentionTakesWholeOldSegments(t *testing.T) {
	hoursAgo := func(h int) int64 { return storyStart.Add(-time.Duration(h) * time.Hour).UnixMilli() }
	segments := []log.SegmentInfo{
		{BaseOffset: 0, NextOffset: 10, Bytes: 100, MaxTimestamp: hoursAgo(9)},
		{BaseOffset: 10, NextOffset: 20, Bytes: 100, MaxTimestamp: hoursAgo(6)},
		{BaseOffset: 20, NextOffset: 30, Bytes: 100, MaxTimestamp: hoursAgo(8)},
		{BaseOffset: 30, NextOffset: 40, Bytes: 50, MaxTimestamp: hoursAgo(1), Active: true},
	}
	const hour = time.Hour
	cases := []struct {
		name   string
		policy retention
		want   log.Offset
	}{
		{"unlimited", retention{time: -1, bytes: -1, mark: 40}, 0},
		{"nothing that old", retention{time: 10 * hour, bytes: -1, mark: 40}, 0},
		{"oldest", retention{time: 7 * hour, bytes: -1, mark: 40}, 10},
		{"an older one behind a younger one stays", retention{time: 7 * hour, bytes: -1, mark: 40}, 10},
		{"three", retention{time: 5 * hour, bytes: -1, mark: 40}, 30},
		{"all, the active one too", retention{time: hour / 2, bytes: -1, mark: 40}, 40},
		{"not past the high watermark", retention{time: hour / 2, bytes: -1, mark: 39}, 30},
		{"not past the high watermark, early", retention{time: hour / 2, bytes: -1, mark: 5}, 0},
		{"bytes enough", retention{time: -1, bytes: 350, mark: 40}, 0},
		{"bytes, but less than a segment too many", retention{time: -1, bytes: 251, mark: 40}, 0},
		{"bytes, one segment", retention{time: -1, bytes: 250, mark: 40}, 10},
		{"bytes, nothing but the active one", retention{time: -1, bytes: 0, mark: 40}, 30},
		{"both", retention{time: 7 * hour, bytes: 150, mark: 40}, 30},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.policy.start(segments, storyStart); got != c.want {
				t.Errorf("start %d, want %d", got, c.want)
			}
		})
	}
	untimed := []log.SegmentInfo{{NextOffset: 10, Bytes: 100, MaxTimestamp: -1}}
	if got := (retention{time: 0, bytes: -1, mark: 10}).start(untimed, storyStart); got != 0 {
		t.Errorf("records without a timestamp aged: start %d", got)
	}
	untimed[0].Compacted = true // nothing is left in it: it must not keep those behind it for ever
	if got := (retention{time: 0, bytes: -1, mark: 10}).start(untimed, storyStart); got != 10 {
		t.Errorf("a segment that compaction emptied did not go: start %d", got)
	}
	empty := []log.SegmentInfo{{BaseOffset: 40, NextOffset: 40, MaxTimestamp: -1, Active: true}}
	if got := (retention{time: 0, bytes: 0, mark: 40}).start(empty, storyStart); got != 0 {
		t.Errorf("an empty segment moved the start to %d", got)
	}
}

func TestTrimCommandSurvivesEncoding(t *testing.T) {
	b := encodeTrim(1 << 40)
	if b[0] != 0xFF {
		t.Errorf("first byte %#x could start a batch", b[0])
	}
	if start, err := decodeTrim(b); err != nil || start != 1<<40 {
		t.Errorf("start %d, %v", start, err)
	}
	for _, bad := range [][]byte{nil, b[:2], b[:10], append(encodeTrim(1), 0), {0xFF, 2, 0}, {0xFF, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if _, err := decodeTrim(bad); err == nil {
			t.Errorf("%x was accepted", bad)
		}
	}
}
