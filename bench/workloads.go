package main

import (
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/bench/load"
)

// workloads are those that have a name; the flags of run change them. All use 1 KiB records, 6 partitions, one client, acks=all and no compression where nothing else is said.
func workloads() []load.Spec {
	kib, warm := 1024, time.Second
	return []load.Spec{
		{Name: "produce", Kind: load.Produce, Warm: warm},
		{Name: "produce-100b", Kind: load.Produce, Size: 100, Warm: warm},
		{Name: "produce-16k", Kind: load.Produce, Size: 16 * kib, Warm: warm},
		{Name: "produce-1p", Kind: load.Produce, Partitions: 1, Warm: warm},
		{Name: "produce-100p", Kind: load.Produce, Partitions: 100, Warm: warm},
		{Name: "produce-1000p", Kind: load.Produce, Partitions: 1000, Warm: 2 * warm},
		{Name: "produce-50c", Kind: load.Produce, Clients: 50, Warm: warm},
		{Name: "produce-acks1", Kind: load.Produce, Acks: "1", Warm: warm},
		{Name: "produce-lz4", Kind: load.Produce, Compression: "lz4", Warm: warm},
		{Name: "produce-zstd", Kind: load.Produce, Compression: "zstd", Warm: warm},
		{Name: "single", Kind: load.Produce, Single: true, Warm: warm},
		{Name: "single-50c", Kind: load.Produce, Single: true, Clients: 50, Warm: warm},
		{Name: "consume", Kind: load.Consume, Warm: warm},
		{Name: "consume-100b", Kind: load.Consume, Size: 100, Preload: 128 << 20, Warm: warm},
		{Name: "consume-cold", Kind: load.Consume, Cold: true, Preload: 2 << 30},
		{Name: "consume-100p", Kind: load.Consume, Partitions: 100, Warm: warm},
		{Name: "consume-10r", Kind: load.Consume, Readers: 10, Warm: warm},
		{Name: "mixed", Kind: load.Mixed, Warm: warm},
		{Name: "latency", Kind: load.Latency, Warm: warm},
		{Name: "latency-10k", Kind: load.Latency, Rate: 10_000, Warm: warm},
		{Name: "rebalance", Kind: load.Rebalance, Partitions: 100, Readers: 10, Warm: warm, For: 10 * time.Second},
		{Name: "idle-1000p", Kind: load.Idle, Partitions: 1000, Warm: 5 * warm},
		{Name: "raw-produce", Kind: load.RawProduce, Clients: 2, Warm: warm},
		{Name: "raw-produce-100p", Kind: load.RawProduce, Clients: 2, Partitions: 100, Warm: warm},
		{Name: "raw-produce-1000p", Kind: load.RawProduce, Clients: 2, Partitions: 1000, Warm: 2 * warm},
		{Name: "raw-single-50c", Kind: load.RawProduce, Single: true, Clients: 50, Warm: warm},
		{Name: "raw-latency", Kind: load.RawLatency, Warm: warm},
		{Name: "raw-fetch", Kind: load.RawFetch, Partitions: 1, Warm: warm},
		{Name: "raw-fetch-6c", Kind: load.RawFetch, Clients: 6, Warm: warm},
	}
}

func findWorkload(name string) (load.Spec, error) {
	for _, w := range workloads() {
		if w.Name == name {
			return w, nil
		}
	}
	return load.Spec{}, fmt.Errorf("no workload is called %q; bench list names them", name)
}

// plan is a set of workloads for a set of systems.
type plan struct {
	name    string
	about   string
	repeat  int
	length  time.Duration
	rounds  []round
	machine bool // measure disk and loopback as well
}

// round is one list of workloads that is run on one list of systems, started together and measured in turn.
type round struct {
	workloads []string
	systems   []string
}

// plans are what make bench and make bench-peers run, and one more.
func plans() []plan {
	return []plan{
		{name: "short", about: "our own figures, under 10 minutes", repeat: 3, length: 3 * time.Second, machine: true, rounds: []round{
			{[]string{"produce", "single-50c", "latency"}, []string{"barnabas", "barnabas-flush", "barnabas3"}},
			{[]string{"produce-100b", "produce-16k", "produce-100p", "produce-1000p", "consume", "consume-cold", "consume-10r", "mixed", "raw-produce", "raw-fetch"}, []string{"barnabas"}},
		}},
		{name: "spread", about: "what many partitions cost, about 25 minutes", repeat: 5, length: 20 * time.Second, machine: true, rounds: []round{
			{[]string{"produce", "produce-100p", "produce-1000p", "raw-produce", "raw-produce-100p", "raw-produce-1000p"}, []string{"barnabas"}},
		}},
		{name: "peers", about: "side by side with other systems", repeat: 5, length: 4 * time.Second, machine: true, rounds: []round{
			{[]string{"produce", "consume", "single-50c", "latency"},
				[]string{"barnabas", "barnabas-flush", "kafka", "kafka-fsync", "nats", "nats-sync", "rabbitmq", "redis", "redis-always"}},
			{[]string{"raw-produce", "raw-fetch"}, []string{"barnabas", "barnabas-flush", "kafka", "kafka-fsync"}},
			{[]string{"raw-latency"}, []string{"barnabas", "barnabas-flush", "kafka", "kafka-fsync", "nats", "nats-sync"}},
			{[]string{"produce", "consume", "latency"}, []string{"barnabas3", "barnabas3-flush", "kafka3", "nats3", "nats3-sync"}},
		}},
	}
}
