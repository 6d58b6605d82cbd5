// Package clitest runs verbs in the test's own process against a fake cluster.
package clitest
