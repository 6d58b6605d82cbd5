// Package metadata is the cluster's state: a pure state machine and the immutable image that everyone reads.
package metadata
