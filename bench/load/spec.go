package load

import (
	"fmt"
	"time"
)

// Kinds of workloads.
const (
	Produce    = "produce"     // producers as fast as they can
	Consume    = "consume"     // readers of what was produced before, as fast as they can
	Latency    = "latency"     // one producer at a fixed rate, one reader behind it
	Mixed      = "mixed"       // producers and readers at the same time, as fast as they can
	Idle       = "idle"        // partitions that nobody uses
	Rebalance  = "rebalance"   // members of a consumer group leave and join; a record is one of those
	RawProduce = "raw-produce" // prepared Kafka requests, pipelined on plain connections
	RawFetch   = "raw-fetch"   // the same for fetching; the kernel drops the replies
	RawLatency = "raw-latency" // one record at a fixed rate in prepared requests on plain connections, and no reader
)

// Spec is a workload.
type Spec struct {
	Name        string        `json:"name"`
	Kind        string        `json:"kind"`
	Size        int           `json:"size"` // bytes of a record's value
	Partitions  int           `json:"partitions"`
	Clients     int           `json:"clients"`               // producers, each with a connection of its own
	Readers     int           `json:"readers"`               // each reads everything, or members of a group
	Single      bool          `json:"single,omitempty"`      // a producer has one record under way at a time
	Acks        string        `json:"acks"`                  // all or 1
	Compression string        `json:"compression,omitempty"` // a codec's name; the values are text then, and noise otherwise
	Rate        int           `json:"rate,omitempty"`        // records a second
	Cold        bool          `json:"cold,omitempty"`        // what is read is no longer in the page cache
	Preload     int64         `json:"preload,omitempty"`     // bytes that are there before reading begins
	Warm        time.Duration `json:"warm"`                  // before counting
	For         time.Duration `json:"for"`                   // counting
}

// EnsureDefaults fills what was left out.
func (s *Spec) EnsureDefaults() {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&s.Size, 1024)
	set(&s.Partitions, 6)
	set(&s.Clients, 1)
	set(&s.Readers, 1)
	if s.Acks == "" {
		s.Acks = "all"
	}
	if s.Kind == Latency || s.Kind == RawLatency {
		set(&s.Rate, 1000)
	}
	if s.Preload == 0 && (s.Kind == Consume || s.Kind == RawFetch) {
		s.Preload = 512 << 20
	}
	if s.For == 0 {
		s.For = 5 * time.Second
	}
}

// Validate says what is wrong with the workload.
func (s *Spec) Validate() error {
	switch {
	case s.Size < 16 || s.Size > 900_000:
		return fmt.Errorf("size %d: 16 to 900000 bytes", s.Size)
	case s.Partitions < 1 || s.Clients < 1 || s.Readers < 1:
		return fmt.Errorf("partitions, clients and readers are at least 1")
	case s.Acks != "all" && s.Acks != "1":
		return fmt.Errorf("acks %q: all or 1", s.Acks)
	case s.For <= 0:
		return fmt.Errorf("for %v: must be positive", s.For)
	}
	return nil
}

// Target is a running system.
type Target struct {
	Driver    string   `json:"driver"`
	Addresses []string `json:"addresses"`
	Processes []int    `json:"processes,omitempty"` // whose processor time and memory count, with all their children; none: not ours, not counted
	Data      []string `json:"data,omitempty"`      // its directories
	Replicas  int      `json:"replicas"`
}

// Order is what a client process is told to do.
type Order struct {
	Spec   Spec   `json:"spec"`
	Target Target `json:"target"`
}

// Outcome is what was measured. MB and GB are 10^6 and 10^9 bytes of record values.
type Outcome struct {
	Seconds    float64      `json:"seconds"`
	Records    int64        `json:"records"`
	Bytes      int64        `json:"bytes"`
	Throughput float64      `json:"mb_per_second"`
	RecordRate float64      `json:"records_per_second"`
	CPU        float64      `json:"server_cpu_seconds"`
	CPUPerGB   float64      `json:"server_cpu_seconds_per_gb,omitempty"`
	ClientCPU  float64      `json:"client_cpu_seconds"`
	Before     int64        `json:"server_rss_before"` // bytes resident before the run, with an idle server
	Peak       int64        `json:"server_rss_peak"`
	Ack        *Percentiles `json:"ack,omitempty"`        // until the producer heard of it
	EndToEnd   *Percentiles `json:"end_to_end,omitempty"` // until the reader had it
	Failed     int64        `json:"failed,omitempty"`     // records refused or lost
	Failure    string       `json:"failure,omitempty"`    // the first reason
}
