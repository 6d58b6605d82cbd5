// Package testcluster runs several brokers in one process, for tests that want to see what a cluster does when a node dies, stops or is cut off.
//
// The brokers are real: their files are below a directory of the test, their clients come over TCP. Only the network between the nodes is the test's own (Network), so
// that it can be cut and healed, in one direction or both, without a privilege and without waiting for the kernel.
package testcluster
