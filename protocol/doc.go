// Package protocol is the Kafka wire: it turns bytes into calls on partitions, groups and the cluster's state, and the outcome into bytes. It
// stores nothing and knows nothing of Raft.
//
// # The life of a connection
//
// One goroutine reads (conn.go). It takes a frame off the socket (frame.go), finds its row in the one table of APIs (apis.go), checks that the
// body has the shape that the API's schema gives it (scan.go) and only then lets kmsg decode it, and calls the row's handler (dispatch.go).
// A handler answers with a kmsg response, which the reader encodes and writes itself: traffic of one request at a time costs no hand-over between
// goroutines. Each API lives in the file that is named after it.
//
// Produces are different: they are pipelined (produce.go). The reader validates and proposes, queues the reply, and reads on; a second goroutine,
// started by the first produce, waits for the outcomes in order and writes them, several at a time when several are ready. Any other request
// waits until the produces before it were answered, so replies leave in the order of their requests, always. A large one is taken apart while it arrives, so that its
// batches need not be moved again on their way to the disk (arrival.go).
//
// Fetch (fetch.go) has its own encoder: the bytes around the records come from memory and the records straight from the segment's file.
//
// # Limits
//
// A frame is refused when its size is not positive or above socket.request.max.bytes. Its buffer grows with the bytes that arrive, so announcing
// much costs the server nothing. A request counts against the node-wide budget (budget.go) from the moment it has arrived (or shown that it is
// coming, when it is large) until it is answered and nothing refers to its bytes any more; when the budget is spent, connections are not read.
// A request whose decoded form would be larger than socket.request.max.bytes is refused before anything is decoded.
//
// Bytes that make no sense close their connection, with the reason in the log at debug level; a panic closes its connection, with the stack in
// the log at error level. Neither touches other connections.
package protocol
