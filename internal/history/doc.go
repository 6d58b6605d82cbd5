// Package history keeps what clients of a cluster saw while it was made to suffer, and judges it afterwards.
//
// Clients report to a Recorder as it happens: a record is invoked before it is handed to the producer, acknowledged when the cluster said so, consumed when a
// reader got it. Each record carries a payload that exists once (NewPayload), so that whatever comes back says which record it was and whether a byte changed.
// When the faults are over, everything is read once more from the start: that final reading is what the cluster stands by.
//
// Check goes over the events in the order in which they happened and names every promise that was broken. It knows nothing of brokers: a history written by
// hand is judged like one of a long run.
package history
