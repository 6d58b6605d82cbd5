package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/internal/freeport"
)

// cluster is three or more brokers, each a process of its own, all of them voters.
type cluster struct {
	o       *options
	dir     string
	nodes   []*member
	network *network // nil: they share the loopback interface
	disks   *disks   // nil: they share the file system of dir
	extra   []string // more settings

	moving     []string  // topics that are moved about, each with
	partitions int32     // so many partitions
	done       inflicted // faults that happened
}

// member is one node of a cluster.
type member struct {
	cluster *cluster
	number  int // from 1; its node id
	host    string
	client  int  // port for clients
	peer    int  // port for nodes
	http    int  // port for figures and profiles; 0: the default
	joins   bool // it is no voter when it starts
	dir     string

	// suffering is held by a fault that ends, pauses or starts the process, until it is healed.
	suffering sync.Mutex

	mu      sync.Mutex // guards following
	process *process
	ended   chan struct{} // closed when process has ended
	wanted  bool          // it should be running
	deaths  []string      // each time it ended on its own
}

// startCluster starts size nodes in the directory of the options. end stops them and removes it; it is nil after an error.
func (o *options) startCluster(size int, extra ...string) (c *cluster, end func(), err error) {
	dir, remove, err := o.workdir()
	if err != nil {
		return nil, nil, err
	}
	if c, err = newCluster(o, dir, size, false, extra...); err != nil {
		remove()
		return nil, nil, err
	}
	end = func() {
		c.close()
		remove()
	}
	if err := errors.Join(fillPageCache(dir), c.startAll()); err != nil {
		end()
		return nil, nil, err
	}
	return c, end, nil
}

// newCluster prepares size nodes below dir, in network namespaces when isolated. Nothing runs yet.
func newCluster(o *options, dir string, size int, isolated bool, extra ...string) (*cluster, error) {
	c := &cluster{o: o, dir: dir, extra: extra}
	if isolated {
		var err error
		if c.network, err = newNetwork(size); err != nil {
			return nil, fmt.Errorf("make network namespaces: %w", err)
		}
	}
	for n := 1; n <= size; n++ {
		m := &member{cluster: c, number: n, host: "127.0.0.1", client: 9092, peer: 9093, dir: filepath.Join(dir, fmt.Sprintf("node%d", n))}
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return nil, err
		}
		if c.network != nil {
			m.host = c.network.address(n)
		} else {
			for _, port := range []*int{&m.client, &m.peer, &m.http} {
				var err error
				if *port, err = freeport.Find(); err != nil {
					return nil, err
				}
			}
		}
		c.nodes = append(c.nodes, m)
	}
	return c, nil
}

// close ends what still runs and removes the namespaces.
func (c *cluster) close() {
	for _, m := range c.nodes {
		_ = m.signal(syscall.SIGCONT)
		m.end(syscall.SIGKILL)
	}
	if c.network != nil {
		c.network.remove()
	}
	if c.disks != nil {
		if err := c.disks.remove(); err != nil {
			fmt.Println(err)
		}
	}
}

func (c *cluster) startAll() error {
	for _, m := range c.nodes {
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// stopAll sends SIGTERM to every node and waits for them.
func (c *cluster) stopAll() {
	var all sync.WaitGroup
	for _, m := range c.nodes {
		all.Go(func() { m.end(syscall.SIGTERM) })
	}
	all.Wait()
}

func (c *cluster) addresses() (all []string) {
	for _, m := range c.nodes {
		all = append(all, m.address())
	}
	return all
}

// kafka connects to the whole cluster. The timeouts suit a cluster under attack: nobody waits long for a node that hangs.
func (c *cluster) kafka(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.addresses()...), kgo.DialTimeout(time.Second), kgo.RequestTimeoutOverhead(2 * time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.RetryBackoffFn(func(n int) time.Duration { return min(time.Duration(n)*20*time.Millisecond, 250*time.Millisecond) }),
		kgo.RetryTimeout(30 * time.Second), kgo.RequestRetries(1000)}, opts...)...)
}

// awaitLeaders waits until every partition of the topics has a leader, and all nodes are known, as every one of the nodes says.
func (c *cluster) awaitLeaders(ctx context.Context, topics ...string) error {
	var last error
	for ctx.Err() == nil {
		last = nil
		for _, m := range c.nodes {
			if last = m.leads(ctx, len(c.nodes), topics); last != nil {
				break
			}
		}
		if last == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the cluster is not ready: %w", errors.Join(ctx.Err(), last))
}

// leads asks this node alone whether everything is led and all brokers are there.
func (m *member) leads(ctx context.Context, brokers int, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.address()), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := kadm.NewClient(client).Metadata(ctx, topics...)
	if err != nil {
		return fmt.Errorf("node %d: %w", m.number, err)
	}
	if len(found.Brokers) != brokers {
		return fmt.Errorf("node %d knows %d brokers", m.number, len(found.Brokers))
	}
	for _, t := range topics {
		d, ok := found.Topics[t]
		if !ok || d.Err != nil {
			return fmt.Errorf("node %d: topic %s: %w", m.number, t, cmpErr(d.Err))
		}
		for _, p := range d.Partitions.Sorted() {
			if p.Leader < 0 {
				return fmt.Errorf("node %d: %s-%d has no leader", m.number, t, p.Partition)
			}
		}
	}
	return nil
}

func cmpErr(err error) error {
	if err == nil {
		return kerr.UnknownTopicOrPartition
	}
	return err
}

func (m *member) address() string { return fmt.Sprintf("%s:%d", m.host, m.client) }
func (m *member) log() string     { return filepath.Join(m.dir, "broker.out") }
func (m *member) volume() string  { return filepath.Join(m.dir, "disk") } // where its own file system is mounted, if it has one
func (m *member) data() string    { return filepath.Join(m.volume(), "data") }

// settings of this node.
func (m *member) settings() []string {
	var voters []string
	for _, other := range m.cluster.nodes {
		if other.joins {
			continue
		}
		voters = append(voters, fmt.Sprintf("%d@%s:%d", other.number, other.host, other.peer))
	}
	set := []string{fmt.Sprintf("node.id=%d", m.number), "process.roles=broker,controller", "controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s:%d", m.address(), m.host, m.peer),
		"controller.quorum.voters=" + strings.Join(voters, ","), "log.dirs=" + m.data(), "default.replication.factor=3", "min.insync.replicas=2"}
	if m.joins {
		set[1] = "process.roles=broker"
	}
	if m.http != 0 {
		set = append(set, fmt.Sprintf("barnabas.http.listener=%s:%d", m.host, m.http))
	}
	return slices.Concat(set, m.cluster.extra, m.cluster.o.set)
}

// start starts the process. It does not wait until it serves.
func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	out, err := os.OpenFile(m.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	args := []string{m.cluster.o.binary, "server", "--log-format", "json"}
	if m.cluster.network != nil {
		args = append([]string{"ip", "netns", "exec", m.cluster.network.namespace(m.number)}, args...)
	}
	for _, s := range m.settings() {
		args = append(args, "--set", s)
	}
	p := &process{addr: m.address(), log: out, cmd: exec.Command(args[0], args[1:]...), started: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = endWithParent()
	if err := p.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start node %d: %w", m.number, err), out.Close())
	}
	if m.cluster.disks != nil {
		m.cluster.disks.add(m, p.cmd.Process.Pid)
	}
	ended := make(chan struct{})
	m.process, m.ended, m.wanted = p, ended, true
	go func() { // ends with the process
		err := p.cmd.Wait()
		_ = out.Close()
		m.mu.Lock()
		if m.process == p && m.wanted {
			m.deaths = append(m.deaths, fmt.Sprintf("node %d ended on its own after %v: %v", m.number, time.Since(p.started).Round(time.Millisecond), err))
		}
		m.mu.Unlock()
		close(ended)
	}()
	return nil
}

// signal sends sig to the process if it runs.
func (m *member) signal(sig syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == nil {
		return nil
	}
	return m.process.cmd.Process.Signal(sig)
}

// stopLimit is how long a node may take to stop after SIGTERM.
const stopLimit = 20 * time.Second

// end ends the process with sig and waits. One that does not stop in time is killed, which counts as a death of its own.
func (m *member) end(sig syscall.Signal) {
	m.mu.Lock()
	p, ended := m.process, m.ended
	m.wanted = false
	m.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-ended:
	case <-time.After(stopLimit):
		m.mu.Lock()
		m.deaths = append(m.deaths, fmt.Sprintf("node %d did not end within %v of %v", m.number, stopLimit, sig))
		m.mu.Unlock()
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		time.Sleep(time.Second)
		_ = p.cmd.Process.Kill()
		<-ended
	}
	m.mu.Lock()
	m.process = nil
	m.mu.Unlock()
}

// running is the process, nil when there is none.
func (m *member) running() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

func (m *member) unexpected() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.deaths)
}
