package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// Node is the answer to /partitions: what a node tells of its replicas, in the order of topic and partition.
type Node struct {
	ID         int32     `json:"node"`
	Partitions []Replica `json:"partitions"`
}

// What a Replica may be.
const (
	Leading     = "leading"
	Following   = "following"
	Leaderless  = "no leader"
	Damaged     = "damaged"      // some of its files are; it serves what is sound, or nothing (see Problem)
	FetchedAnew = "fetched anew" // from the leader, after its files were lost or damaged
	Failed      = "failed"       // its disk fails or is full, or its directory is out of service
)

// Replica is what a node tells of one of its replicas. Offsets, sizes and what follows are left out of one that is not open.
type Replica struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	State     string `json:"state"`
	// Problem says what is wrong, "" for nothing, and Since since when.
	Problem string     `json:"problem,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
	// Leader is the node that leads, as far as this one knows; -1 for none.
	Leader    int32  `json:"leader"`
	Directory string `json:"directory,omitempty"`
	Segments  int    `json:"segments"`
	Bytes     int64  `json:"bytes"`
	// Start and End are the ends of the log, HighWatermark the end of what is committed.
	Start         int64 `json:"start"`
	End           int64 `json:"end"`
	HighWatermark int64 `json:"highWatermark"`
	// Compaction is nil for a topic without cleanup.policy=compact, Scrub for a replica of which nothing was scrubbed since it was opened.
	Compaction *Compaction `json:"compaction,omitempty"`
	Scrub      *Scrub      `json:"scrub,omitempty"`
}

// Compaction is how far compaction has come with a replica.
type Compaction struct {
	// To is the offset below which everything was compacted.
	To         int64   `json:"to"`
	CleanBytes int64   `json:"cleanBytes"`
	DirtyBytes int64   `json:"dirtyBytes"` // that may be compacted by now
	DirtyRatio float64 `json:"dirtyRatio"`
	// Last is when a compaction ended the last time since the replica was opened, Problem what was wrong then. Refused: it is not tried again.
	Last    *time.Time `json:"last,omitempty"`
	Problem string     `json:"problem,omitempty"`
	Refused bool       `json:"refused,omitempty"`
}

// Scrub is how far the scrub has come with a replica: To is where the segment ends that was read last, at Last.
type Scrub struct {
	To      int64     `json:"to"`
	Last    time.Time `json:"last"`
	Problem string    `json:"problem,omitempty"`
}

// partitions answers /partitions, and /partitions?topic=NAME for one topic.
func (s *Server) partitions(w http.ResponseWriter, r *http.Request) {
	node := s.opts.Status.Replicas(r.URL.Query().Get("topic"))
	if node.Partitions == nil {
		node.Partitions = []Replica{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(node) // an error is the client's: it hung up
}
