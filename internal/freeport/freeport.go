// Package freeport finds ports for servers that tests and benchmarks start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports lie below those that systems give to outgoing connections: such a one might be taken until the server starts, or while it is down for a moment.
const (
	first = 20_000
	count = 12_000
)

// next is where the search goes on: a port is not given twice soon.
var next atomic.Uint32

func init() { next.Store(rand.Uint32N(count)) }

// Find is a port of 127.0.0.1 that nobody listens on. Safe from any goroutine.
func Find() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count))
		if err != nil {
			continue
		}
		return l.Addr().(*net.TCPAddr).Port, l.Close()
	}
	return 0, errors.New("no port is free")
}

// Address is Find with 127.0.0.1 before it.
func Address() (string, error) {
	port, err := Find()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}
