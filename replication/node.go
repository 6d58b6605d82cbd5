package replication

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
)

// Node owns what all Raft groups on this node share: the stable store, the transport, the limits.
type Node struct {
	opts    NodeOptions
	logger  *zap.Logger
	votes   *voteStore
	network *network

	detector *detector
	spreader spreader

	mu       sync.Mutex
	groups   map[string]*Group // guarded by mu; nil value: being started
	started  []*Group          // guarded by mu; those whose raft runs, nil: not listed since the last change. Replaced, never changed
	metadata *Metadata         // guarded by mu
	closed   bool              // guarded by mu
}

// OpenNode opens the votes. It fails when another process uses the directory.
func OpenNode(opts NodeOptions) (*Node, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	votes, err := openVotes(filepath.Join(opts.Dir, "votes.bolt"))
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	votes.writable = opts.writable
	n := &Node{opts: opts, logger: opts.Logger, votes: votes, groups: map[string]*Group{}}
	n.detector = newDetector(n)
	n.spreader.node = n
	if n.network, err = openNetwork(n); err != nil {
		return nil, errors.Join(fmt.Errorf("open node: %w", err), votes.close())
	}
	n.network.open()
	return n, nil
}

// Addr is where the node listens for others, nil if it does not.
func (n *Node) Addr() net.Addr { return n.network.address() }

// endpoint is the group's end of the wire, nil when there is no such group here (yet).
func (n *Node) endpoint(id string) *endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id == metadataID && n.metadata != nil {
		return n.metadata.endpoint
	}
	if g := n.groups[id]; g != nil {
		return g.endpoint
	}
	return nil
}

// group is a group that runs here, or nil.
func (n *Node) group(id string) *Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[id]
}

// running are the groups that run here. The detector asks for them several times a second: they are listed anew only after a change.
func (n *Node) running() []*Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.started == nil {
		n.started = make([]*Group, 0, len(n.groups))
		for _, g := range n.groups {
			if g != nil && g.raft.Load() != nil {
				n.started = append(n.started, g)
			}
		}
	}
	return n.started
}

// Close closes every group that is still open, then the votes. Safe to call twice.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	metadata := n.metadata
	n.mu.Unlock()
	groups := n.running()
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Go(func() { _ = g.Close() })
	}
	wg.Wait()
	var errs []error
	if metadata != nil {
		errs = append(errs, metadata.Close())
	}
	n.network.close()
	errs = append(errs, n.votes.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close node: %w", err)
	}
	return nil
}

// reserve keeps id for a group that is being started.
func (n *Node) reserve(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if _, ok := n.groups[id]; ok {
		return ErrExists
	}
	n.groups[id] = nil
	return nil
}

// enter makes the group known to the transport, or gives up the reservation when g is nil. It refuses when the node was closed meanwhile.
func (n *Node) enter(id string, g *Group) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.started = nil
	if g == nil {
		delete(n.groups, id)
		return nil
	}
	if n.closed {
		delete(n.groups, id)
		return ErrClosed
	}
	n.groups[id] = g
	return nil
}

// Forget removes the group's vote, after Close, when the partition is deleted for good.
func (n *Node) Forget(id string) error {
	n.mu.Lock()
	_, running := n.groups[id]
	n.mu.Unlock()
	if running {
		return fmt.Errorf("forget group %s: %w", id, ErrExists)
	}
	if err := n.votes.forget(id); err != nil {
		return fmt.Errorf("forget group %s: %w", id, err)
	}
	return nil
}
