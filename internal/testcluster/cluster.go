package testcluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/broker"
	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/freeport"
	"go.uber.org/zap"
)

// Options of a cluster.
type Options struct {
	Nodes  int         // how many brokers, all of them voters; default 3
	Set    []string    // settings of each, name=value
	Logger *zap.Logger // nil: no output
}

// Cluster is some brokers in this process. Its methods report what goes wrong to the test.
type Cluster struct {
	// Network lies between the nodes.
	Network *Network

	t     testing.TB
	opts  Options
	dir   string
	nodes []*Node
}

// Node is one broker, running or not.
type Node struct {
	ID int32
	// Set are further settings, from the next Start on.
	Set []string

	cluster *Cluster
	client  string // address for clients; stays
	peer    string // address for nodes, on the cluster's network

	mu     sync.Mutex // guards following
	broker *broker.Broker
}

// startLimit bounds how long nodes may take to start.
const startLimit = 30 * time.Second

// Start runs a cluster, ready for use, until the test ends.
func Start(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Nodes == 0 {
		opts.Nodes = 3
	}
	c := &Cluster{Network: newNetwork(), t: t, opts: opts, dir: t.TempDir()}
	for id := int32(1); id <= int32(opts.Nodes); id++ {
		c.nodes = append(c.nodes, &Node{ID: id, cluster: c, client: freeAddress(t), peer: c.Network.name(id)})
	}
	t.Cleanup(c.stop)
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(n.Start)
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Node gives a node by its id, from 1.
func (c *Cluster) Node(id int32) *Node { return c.nodes[id-1] }

// Nodes gives all of them.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Addresses are where clients find the nodes, running or not.
func (c *Cluster) Addresses() (all []string) {
	for _, n := range c.nodes {
		all = append(all, n.client)
	}
	return all
}

func (c *Cluster) stop() {
	c.Network.HealAll()
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(n.Kill) // nobody needs a leader any more
	}
	all.Wait()
}

// Dir is where the node keeps its data.
func (n *Node) Dir() string { return filepath.Join(n.cluster.dir, fmt.Sprintf("node%d", n.ID)) }

// Address is where clients find the node.
func (n *Node) Address() string { return n.client }

func (n *Node) config() (*config.Server, error) {
	var voters []string
	for _, other := range n.cluster.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", other.ID, other.peer))
	}
	set := append([]string{fmt.Sprintf("node.id=%d", n.ID), "process.roles=broker,controller", "controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", n.client, n.peer), "controller.quorum.voters=" + strings.Join(voters, ","),
		"log.dirs=" + n.Dir(), "default.replication.factor=3", "min.insync.replicas=2", "offsets.topic.num.partitions=3",
		"group.initial.rebalance.delay.ms=50"}, n.cluster.opts.Set...)
	set = append(set, n.Set...)
	c, _, err := config.Load(config.Input{Set: set})
	return c, err
}

// Start starts the node, and returns when it serves. It can do so only when a majority of the nodes runs or is being started.
func (n *Node) Start() {
	t := n.cluster.t
	c, err := n.config()
	if err != nil {
		t.Errorf("configure node %d: %v", n.ID, err)
		return
	}
	l, err := n.cluster.Network.listen(n.ID)
	if err != nil {
		t.Errorf("listen as node %d: %v", n.ID, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	b, err := broker.Open(ctx, broker.Options{Config: c, Logger: n.cluster.opts.Logger, NodeListener: l, NodeDial: n.cluster.Network.dialer(n.ID)})
	if err != nil {
		t.Errorf("start node %d: %v", n.ID, err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broker = b
}

func (n *Node) take() *broker.Broker {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.broker
	n.broker = nil
	return b
}

// Stop stops the node as SIGTERM does: it hands its leadership over and finishes what it has begun.
func (n *Node) Stop() {
	if b := n.take(); b != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			n.cluster.t.Errorf("stop node %d: %v", n.ID, err)
		}
		n.cluster.Network.drop(n.ID)
	}
}

// Kill takes the node away without a word to anybody: to the others and to clients it is as after kill -9. Its files are closed, though; what a power cut does to those is
// tested in package log.
func (n *Node) Kill() {
	b := n.take()
	if b == nil {
		return
	}
	for _, other := range n.cluster.Network.others(n.ID) {
		n.cluster.Network.Cut(n.ID, other)
		defer n.cluster.Network.Heal(n.ID, other)
	}
	n.cluster.Network.drop(n.ID)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.Close(gone) // it says that requests were not finished
	n.cluster.Network.drop(n.ID)
}
