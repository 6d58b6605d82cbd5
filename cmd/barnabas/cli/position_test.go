package cli

import (
	"errors"
	"testing"
	"time"
)

func TestParsePosition(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(s string) int64 {
		parsed, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.UnixMilli()
	}
	for in, want := range map[string]Position{
		"start": {kind: atStart}, "Earliest": {kind: atStart}, "beginning": {kind: atStart},
		"end": {kind: atEnd}, "latest": {kind: atEnd},
		"0": {atOffset, 0}, "1234567890123": {atOffset, 1234567890123},
		"-1": {beforeEnd, 1}, "-0": {beforeEnd, 0},
		"@0": {atTime, 0}, "@1700000000000": {atTime, 1700000000000},
		"-1h": {atTime, at("2026-03-01T11:00:00Z")}, "-90m": {atTime, at("2026-03-01T10:30:00Z")},
		"-7d": {atTime, at("2026-02-22T12:00:00Z")}, "-1w2d3h": {atTime, at("2026-02-20T09:00:00Z")}, "-99999d": {atTime, 0},
		"2026-01-31":                {atTime, at("2026-01-31T00:00:00Z")},
		"2026-01-31T08:30":          {atTime, at("2026-01-31T08:30:00Z")},
		"2026-01-31 08:30:15.25":    {atTime, at("2026-01-31T08:30:15.25Z")},
		"2026-01-31T08:30:00+02:00": {atTime, at("2026-01-31T06:30:00Z")},
		"1969-01-01":                {atTime, 0},
	} {
		got, err := ParsePosition(in, now)
		if err != nil || got != want {
			t.Errorf("ParsePosition(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "@", "@-1", "@x", "-", "-x", "--1h", "now", "1h", "+5", "2026-13-01", "31.1.2026", "99999999999999999999", "-1d1"} {
		if got, err := ParsePosition(in, now); err == nil {
			t.Errorf("ParsePosition(%q) = %v, want an error", in, got)
		} else if f := (*Failure)(nil); !errors.As(err, &f) || f.Code != ExitUsage {
			t.Errorf("ParsePosition(%q): %v is not a usage error", in, err)
		}
	}
}

func TestPositionsStayWithinTheRange(t *testing.T) {
	r := Range{Start: 10, End: 20}
	for p, want := range map[Position]int64{
		{kind: atStart}: 10, {kind: atEnd}: 20, {atOffset, 5}: 10, {atOffset, 15}: 15, {atOffset, 25}: 20,
		{beforeEnd, 0}: 20, {beforeEnd, 3}: 17, {beforeEnd, 100}: 10, {atTime, 1}: 20,
	} {
		if got := p.within(r, nil, "t", 0); got != want {
			t.Errorf("%v: %d, want %d", p, got, want)
		}
	}
}
