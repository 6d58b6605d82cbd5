package cli

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTableAlignsWordsLeftAndNumbersRight(t *testing.T) {
	table := NewTable("NAME", "SIZE#", "NOTE")
	table.Row("a", 5, "")
	table.Row("längster", 1234567)
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME         SIZE  NOTE\n" + "a               5  -\n" + "längster  1234567  -\n"
	if b.String() != want {
		t.Fatalf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestQuantities(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Bytes(-1), "-"}, {Bytes(0), "0 B"}, {Bytes(1023), "1023 B"}, {Bytes(1024), "1.0 KiB"}, {Bytes(1536 << 20), "1.5 GiB"}, {Bytes(1<<63 - 1), "8.0 EiB"},
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(-1234567), "-1,234,567"},
		{Plural(1, "record"), "1 record"}, {Plural(0, "record"), "0 records"}, {Plural(2000, "record"), "2,000 records"},
		{Time(-1), "-"}, {Time(0), "1970-01-01T00:00:00.000Z"}, {Time(1772366400123), "2026-03-01T12:00:00.123Z"},
		{Elapsed(1234 * time.Microsecond), "1ms"}, {Elapsed(1234 * time.Millisecond), "1.23s"}, {Elapsed(125 * time.Second), "2m5s"},
		{IDs([]int32{3, 1}), "3,1"}, {IDs(nil), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestParsePartitions(t *testing.T) {
	for in, want := range map[string][]int32{"0": {0}, "0,3,5-7": {0, 3, 5, 6, 7}, "2, 1 ,2": {2, 1}} {
		if got, err := ParsePartitions(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", "-1", "1-", "3-1", "1,,2", "0-4294967295", "0-2000000000"} {
		if got, err := ParsePartitions(in); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{``: "", `a\tb\n`: "a\tb\n", `\\n`: `\n`, `\x41\x00\0`: "A\x00\x00", `é\r`: "é\r"} {
		if got, err := Unescape(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`\`, `\q`, `\x4`, `\xzz`} {
		if got, err := Unescape(in); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"orders", "orders-archive", "payments", "a", "retention.ms", "retention.bytes"}
	for typed, want := range map[string][]string{
		"order": {"orders", "orders-archive"}, "ORDERS": {"orders", "orders-archive"}, "ordesr": {"orders"}, "paymnets": {"payments"},
		"retention.m": {"retention.ms"}, "zebra": nil, "archive": {"orders-archive"},
	} {
		if got := Nearest(typed, names, 3); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}

func TestProgressOnlyOnATerminalAndOnlyWhenItTakesLong(t *testing.T) {
	var b strings.Builder
	now := time.Unix(0, 0)
	app := &App{Err: &b, Now: func() time.Time { return now }, Terminal: true}
	p := app.NewProgress()
	p.Show(1, 1)
	now = now.Add(2 * time.Second)
	p.Show(2000, 4<<20)
	now = now.Add(100 * time.Millisecond)
	p.Show(3000, 6<<20)
	p.Clear()
	if want := "\r\x1b[K2,000 records, 4.0 MiB, 2.0 MiB/s\r\x1b[K"; b.String() != want {
		t.Fatalf("%q, want %q", b.String(), want)
	}
	b.Reset()
	app.Terminal = false
	now = now.Add(time.Minute)
	p.Show(1, 1)
	p.Clear()
	if b.String() != "" {
		t.Fatalf("%q", b.String())
	}
}
