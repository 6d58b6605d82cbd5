// Package broker is one node put together: it opens everything in order, introduces the parts to each other, and closes them in reverse.
//
// Nothing here is clever. What a part does is in its own package; this one knows who needs whom:
//
//	replication.Node ── votes, transport, Raft groups
//	metadata         ── the cluster's state; its group is the first to start
//	hosting          ── opens the partitions that the image gives to this node, closes and deletes the others
//	consumergroup    ── coordinates the groups whose partition of __consumer_offsets this node leads
//	protocol.Server  ── the listeners; asks all of the above through Backend
package broker
