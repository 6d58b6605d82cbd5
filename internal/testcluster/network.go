package testcluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Network is what the nodes reach each other through. What is cut is held back, as TCP does with packets that get lost: it goes on when the cut is healed, unless a
// deadline passes before. A connection that is opened across a cut waits likewise.
type Network struct {
	mu        sync.Mutex // guards following
	addresses map[string]int32
	listeners map[int32]net.Addr
	conns     map[*conn]struct{}
	cuts      map[[2]int32]bool
	changed   chan struct{} // closed and replaced when cuts change
}

func newNetwork() *Network {
	return &Network{addresses: map[string]int32{}, listeners: map[int32]net.Addr{}, conns: map[*conn]struct{}{}, cuts: map[[2]int32]bool{},
		changed: make(chan struct{})}
}

// Cut holds back everything that from sends to to.
func (n *Network) Cut(from, to int32) { n.set(from, to, true) }

// Heal undoes Cut.
func (n *Network) Heal(from, to int32) { n.set(from, to, false) }

// Isolate cuts node off from all others, in both directions.
func (n *Network) Isolate(node int32) {
	for _, other := range n.others(node) {
		n.Cut(node, other)
		n.Cut(other, node)
	}
}

// HealAll undoes every cut.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
	n.wakeLocked()
}

func (n *Network) others(node int32) (all []int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range n.addresses {
		if other != node {
			all = append(all, other)
		}
	}
	return all
}

func (n *Network) set(from, to int32, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.cuts[[2]int32{from, to}] = true
	} else {
		delete(n.cuts, [2]int32{from, to})
	}
	n.wakeLocked()
}

func (n *Network) wakeLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// blocked says whether what from sends to to is held back, and what is closed when that may have changed.
func (n *Network) blocked(from, to int32) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[[2]int32{from, to}], n.changed
}

// name gives a node an address, which stays when its listener changes.
func (n *Network) name(node int32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	address := fmt.Sprintf("127.0.0.1:%d", 1000+node)
	n.addresses[address] = node
	return address
}

// listen makes the listener of a node that starts.
func (n *Network) listen(node int32) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[node] = l.Addr()
	return l, nil
}

// drop breaks every connection of a node, as its death does.
func (n *Network) drop(node int32) {
	n.mu.Lock()
	delete(n.listeners, node)
	var mine []*conn
	for c := range n.conns {
		if c.from == node || c.to == node {
			mine = append(mine, c)
		}
	}
	n.mu.Unlock()
	for _, c := range mine {
		_ = c.Close()
	}
}

// dialer is how a node reaches the others.
func (n *Network) dialer(from int32) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		n.mu.Lock()
		to, known := n.addresses[address]
		n.mu.Unlock()
		if !known {
			return nil, fmt.Errorf("dial %s: nobody has this address", address)
		}
		for {
			there, _ := n.blocked(from, to)
			back, changed := n.blocked(to, from)
			if !there && !back {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, fmt.Errorf("dial node %d: %w", to, ctx.Err())
			}
		}
		n.mu.Lock()
		at := n.listeners[to]
		n.mu.Unlock()
		if at == nil {
			return nil, fmt.Errorf("dial node %d: it does not run", to)
		}
		var d net.Dialer
		inner, err := d.DialContext(ctx, "tcp", at.String())
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, network: n, from: from, to: to, closed: make(chan struct{})}
		n.mu.Lock()
		n.conns[c] = struct{}{}
		n.mu.Unlock()
		return c, nil
	}
}

// conn is the dialing end of a connection. It holds back both directions, so the other end need not know of it.
type conn struct {
	net.Conn
	network  *Network
	from, to int32

	once   sync.Once
	closed chan struct{}

	mu          sync.Mutex // guards following
	read, write time.Time  // deadlines
}

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.network.mu.Lock()
		delete(c.network.conns, c)
		c.network.mu.Unlock()
	})
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.read, c.write = t, t
	c.mu.Unlock()
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.read = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.write = t
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// pass waits until nothing holds back what from sends to to.
func (c *conn) pass(from, to int32, deadline *time.Time) error {
	for {
		cut, changed := c.network.blocked(from, to)
		if !cut {
			return nil
		}
		c.mu.Lock()
		at := *deadline
		c.mu.Unlock()
		var late <-chan time.Time
		if !at.IsZero() {
			t := time.NewTimer(time.Until(at))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-changed:
		case <-c.closed:
			return net.ErrClosed
		case <-late:
			return os.ErrDeadlineExceeded
		}
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		if held := c.pass(c.to, c.from, &c.read); held != nil {
			_ = c.Close() // what was read is lost, and so is all that follows
			return 0, held
		}
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.pass(c.from, c.to, &c.write); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
