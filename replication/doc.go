// Package replication contains hashicorp/raft: the only code that imports it.
//
// A Node is what all groups of a broker share: the votes, the transport. A Group is the consensus group of one partition; the partition's segment log is the Raft
// log, and the group is its only writer. Metadata is the one group that holds the cluster's state.
//
// # Four numbers
//
// An entry of the log has an index and a term (Raft's). An entry that is a record batch also has a base offset (Kafka's, counted in records) and carries its
// term as the partition leader epoch. No-ops, configurations and a machine's own commands have an index and a term, but consume no offset. So the
// offset is dense, the index is dense, and neither follows from the other: the log knows both for every entry.
//
// # A proposal's way
//
// Propose queues and returns. A goroutine that lives only while something is queued hands proposals to raft, whose main goroutine takes as many as there are and calls
// StoreLogs once for them: Admit for each, one Append (which stamps offset and epoch, and syncs), Stored. Then raft replicates what the log now holds, and
// when a majority has it, ApplyBatch hands it to Apply. The machine's calls come from three goroutines: raft's main one (Admit, Stored, Truncated, Failed), raft's state
// machine's (Apply, Restore), and the herald (Lead, Resign). Within each they come one after another.
//
// The bytes of a batch belong to the proposer until Stored or Resign: afterwards nothing here looks at them, they are read from the log when a follower needs them.
//
// # What raft does, and what follows
//
//   - The leader calls StoreLogs before it tells its followers, so that the store can stamp base offset and epoch there, and followers verify them.
//   - Raft keeps pointers to the entries it gives to StoreLogs until they are committed, and looks at their type then. The store uses that twice: a proposal that
//     Admit refuses becomes a no-op in place; and the no-op with which a leadership begins comes out of the state machine's end as the barrier behind
//     which Lead is called, so that no further entry is needed. Replication reads through GetLog and sees what is stored: no-ops.
//   - A missing entry is exactly raft.ErrLogNotFound, compared with ==. For any other error raft panics. So an entry that cannot be read stops the replica.
//   - An error of StoreLogs makes the leader step down. A failed write also stops the replica for good (Failed), and only that one.
//   - MaxAppendEntries counts entries, not bytes. What raft is given at a time is bounded by bytes before (maxHanded), what is sent at a time in the transport.
//     A follower that lags gets the entries of one of raft's requests in several, two of which are under way (append.go); what came first over the wire reaches raft first (arrivals.go).
//   - A group costs 3 goroutines, a leader one more and 2 for each follower.
//   - Raft takes a leader's commit index for everything that a follower holds, also for a tail that this leader has not confirmed. The transport sends, and accepts, no
//     commit index beyond the last entry of the request.
//   - An idle leader repeats an empty append to each follower once in CommitTimeout. The transport answers it here while the follower's heartbeats are fresh and
//     there is nothing new in it (matches.knows).
//   - A request to a follower that is away waits in the transport until the node is back: raft would try again only after CommitTimeout. The commit index is told
//     by the spreader when no entry follows that would carry it.
//
// # Who is alive
//
// Raft's timers are long, because every group pays for them. The detector of a node watches the other nodes instead, finds leaders for groups without one, and makes a
// leader without a majority give up. See detector and docs/decisions/0007 and 0009. The metadata group keeps short timers and elects by itself.
//
// # Terms
//
// Raft's heartbeat path runs beside its main goroutine and may move the term on while that one still believes to lead: an entry proposed at that moment would be
// written with the next leader's term, and taken for that leader's entry. The store therefore refuses entries made on this node in a term in which it did not vote for
// itself. The transport helps by using the fast path only while raft is a follower.
//
// The current term is not written by itself (see stable.SetUint64); votes are, each as one value, many groups in one transaction.
//
// # Traps
//
//   - Futures of raft never resolve when it is shut down while an entry is queued. None is waited for: outcomes come through the machine, and Resign, which is
//     also the last call when a group is closed, ends what is pending.
//   - Raft refuses proposals while it transfers leadership, without a trace. So Transfer does not use raft's: it holds proposals back here, and tells the
//     other node to stand.
//   - Installing a snapshot does not reset raft's idea of the last index. Until raft has noticed, the store answers with entries of term 0 for the range that is gone
//     (logStore.phantom).
//   - Raft's metrics goroutine outlives a shutdown by a moment. The store answers nothing after close.
//   - Raft's pipeline is not used: see endpoint.AppendEntriesPipeline.
//   - Raft panics when it cannot decode a configuration or does not know an entry's type: what comes from outside is checked before it gets there.
package replication
