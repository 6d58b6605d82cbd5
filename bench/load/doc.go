// Package load puts a server under load and measures what it does: the same workloads, the same clock and the same counting for every system, whatever its protocol. What
// differs between systems is a Driver.
//
// A run has three parts. The driver prepares an empty topic (stream, queue), and fills it where the workload reads. Then the clients run for Spec.Warm without
// being counted, so that connections, caches and just-in-time compilers are ready. Then everything is counted for Spec.For: records acknowledged or read, and the processor
// time that the server's processes, children included, used meanwhile.
//
// Latencies are counted from the time at which a record should have been sent according to the rate, not from when it was: a server that
// stalls for a second is charged for every record that should have gone out in that second (no coordinated omission).
package load
