// Package consumergroup is the group coordinator: who is a member of which group, what each member reads, and how far it got.
//
// The classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) moves a group through these states:
//
//	          first member joins                    everyone joined, or time is up
//	Empty ───────────────────────> PreparingRebalance ─────────────────────────> CompletingRebalance
//	  ^                               ^    │     ^                                   │        │
//	  │  no member is left            │    │     │  a member joins, leaves, dies     │        │ the leader's
//	  └───────────────────────────────┼────┘     └───────────────────────────────────┘        │ assignment is written
//	                                  │                                                       v
//	                                  └──────────────────────────────────────────────────── Stable
//	                                    a member joins, leaves, dies, or changes its mind
//
// Words used everywhere: a generation is one agreement on members and assignment; a pending member was given an id and has yet to come back with it
// (KIP-394); a static member has an instance id and keeps its place across restarts (KIP-345); an unsynced member has joined the generation and not yet asked for
// its assignment.
//
// State is a projection of __consumer_offsets in Kafka's own record schemas. What is written: the group with its members and assignments when a generation
// becomes stable, when a static member is replaced and when the group becomes empty; each committed offset; tombstones. After a restart a group is what was written last:
// a rebalance that was under way starts over, because its members are told NOT_COORDINATOR and join again.
//
// The files: api.go what one may ask, service.go routes it to a shard, shard.go the messages and timers of one shard, group.go members and the vote,
// classic.go join, sync, heartbeat and leave, rebalance.go the phases, offsets.go commits and expiry, admin.go lists and deletes, records.go the schemas. Everything but
// service.go is pure: no lock, no clock, no I/O. The stories in testdata show the behaviour.
package consumergroup
