package main

import (
	"encoding/xml"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/bench/load"
)

// Every workload does something on a server that speaks Kafka's protocol, and leaves no topic behind.
func TestEveryWorkloadRuns(t *testing.T) {
	server, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, spec := range workloads() {
		if spec.Kind == load.Rebalance {
			spec.Partitions, spec.Readers = 6, 3
		}
		if spec.Partitions > 6 || spec.Size > 1024 || spec.Rate > 1000 || spec.Cold || spec.Kind == load.Idle {
			continue // only more of the same; or about files, and about processes, that a fake has not got
		}
		t.Run(spec.Name, func(t *testing.T) {
			spec.Warm, spec.For, spec.Preload = 20*time.Millisecond, 100*time.Millisecond, 2<<20
			spec.EnsureDefaults()
			o := &load.Outcome{}
			for ; o.Records == 0 && spec.For < 10*time.Second; spec.For *= 2 { // a slow machine gets more time
				var err error
				o, err = driveKafka(t.Context(), load.Order{Spec: spec, Target: load.Target{Driver: "kafka", Addresses: server.ListenAddrs(), Replicas: 1}})
				if err != nil {
					t.Fatal(err)
				}
			}
			size := int64(spec.Size)
			if spec.Kind == load.Rebalance {
				size = 0
			}
			if o.Records == 0 || o.Failed > 0 || o.Bytes != o.Records*size {
				t.Errorf("%+v", o)
			}
			rated, read := spec.Rate > 0, spec.Kind == load.Latency || spec.Kind == load.Rebalance
			if rated != (o.Ack != nil) || read != (o.EndToEnd != nil) {
				t.Errorf("percentiles: %v, %v", o.Ack, o.EndToEnd)
			}
		})
	}
}

func TestPreparedBatchIsWhole(t *testing.T) {
	raw := batch(100, 1024)
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if got := int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli))); got != b.CRC {
		t.Errorf("checksum %x, written %x", got, b.CRC)
	}
	if int(b.Length) != len(raw)-12 || b.NumRecords != 100 || b.LastOffsetDelta != 99 {
		t.Errorf("length %d of %d, %d records to %d", b.Length, len(raw), b.NumRecords, b.LastOffsetDelta)
	}
	rest := b.Records
	for i := range int32(100) {
		var one kmsg.Record
		if err := one.ReadFrom(rest); err != nil {
			t.Fatal(err)
		}
		if one.OffsetDelta != i || len(one.Value) != 1024 {
			t.Fatalf("record %d: delta %d, %d bytes", i, one.OffsetDelta, len(one.Value))
		}
		rest = rest[len(one.AppendTo(nil)):]
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes are left", len(rest))
	}
}

// measured is a report of two systems, three runs each.
func measured() *report {
	r := &report{Name: "x", Command: `bench "a" <b>`}
	spec := load.Spec{Name: "w", Size: 1, Partitions: 1, Clients: 1, Readers: 1, Acks: "all"}
	r.add(spec, []system{{name: "barnabas", title: "Barnabas"}, {name: "other", title: "A & B"}})
	for i, rates := range [][2]float64{{100, 50}, {300, 70}, {200, 60}} {
		for s, name := range []string{"barnabas", "other"} {
			r.record("w", name, i, &load.Outcome{Throughput: rates[s], CPUPerGB: 100 / rates[s], Seconds: 1, Bytes: 1}, nil)
		}
	}
	r.record("w", "other", 3, nil, errors.New("broken"))
	r.finish()
	return r
}

func TestMediansAndRatios(t *testing.T) {
	r := measured()
	ours, other := r.find("w", "barnabas"), r.find("w", "other")
	if ours.Median.Throughput != 200 || other.Median.Throughput != 60 || ours.Ratio != 1 || other.Ratio != 0.3 {
		t.Errorf("%+v %v, %+v %v", ours.Median, ours.Ratio, other.Median, other.Ratio)
	}
	if want := 200.0 / 60; math.Abs(other.CPURatio-want) > 1e-9 {
		t.Errorf("processor time %v times ours, want %v", other.CPURatio, want)
	}
	var table strings.Builder
	r.print(&table)
	for _, want := range []string{"barnabas  200.0", "60.0   0.30", "repetition 4: broken"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, table.String())
		}
	}
}

func TestChartsAreWellFormed(t *testing.T) {
	all := measured().charts()
	if len(all) != 2 {
		t.Fatalf("%d charts", len(all))
	}
	for name, chart := range all {
		bars := 0
		for d := xml.NewDecoder(strings.NewReader(string(chart))); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
				bars++
			}
		}
		if bars != 3 { // two bars and the ground
			t.Errorf("%s: %d rectangles", name, bars)
		}
	}
}
