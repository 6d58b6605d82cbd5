// Package record looks into Kafka v2 record batches: it decodes the records, compressed or not, and builds batches.
//
// The log itself stores batches as they came. This package is for whoever needs what is inside: a search by time, the coordinators, the command
// line. Nothing here trusts its input: every length is checked, and what a batch may expand to is capped by the caller.
package record
