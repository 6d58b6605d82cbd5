package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/protocol"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
)

// startLimit bounds how long a node that is alone may take to start. One that has peers waits for them as long as it takes.
const startLimit = 30 * time.Second

// waitingNote is how often a node that waits for its peers says so.
const waitingNote = 10 * time.Second

// Options of a Broker.
type Options struct {
	Config *config.Server
	Logger *zap.Logger      // nil: no output
	Level  *zap.AtomicLevel // the logger's, to be changed over HTTP; nil: it cannot be

	// NodeListener and NodeDial stand in for the network between nodes, in tests: where the others reach this one, and how it reaches them. nil: TCP.
	NodeListener net.Listener
	NodeDial     func(ctx context.Context, address string) (net.Conn, error)
	// FS stands in for the machine's file system, for what partitions keep there; in tests. nil: the machine's.
	FS vfs.FS

	measure func(path string) (volume, error) // stands in for what the system says of a file system; nil: what it says
}

// Broker is one node. Open it, then Close it.
type Broker struct {
	config *config.Server
	opts   Options
	nodeID int32
	logger *zap.Logger

	dirs       *dataDirs
	relocating *relocations
	promises   os.FileInfo // of the directory of votes and metadata
	node       *replication.Node
	meta       *replication.Metadata
	machine    *metadataMachine
	state      *metadata.State
	controller *metadata.Controller
	hosting    *hosting
	refetcher  *refetcher
	sameBoot   bool // the machine has run since the logs were written, see boot.go
	leaders    *leaders
	members    *members
	joiners    joiners
	orphans    *orphans
	remembered addresses
	groups     *consumergroup.Service
	server     *protocol.Server
	listeners  []net.Listener
	observed   observed
	phase      atomic.Int32 // a phase

	started chan struct{}      // closed when other nodes may ask
	stop    context.CancelFunc // ends the goroutines counted in running
	running sync.WaitGroup
	serving sync.WaitGroup // one for each listener
}

// Open starts a node and returns when it serves: its metadata is current, its partitions are open, and its listeners accept. ctx bounds the start only.
func Open(ctx context.Context, opts Options) (*Broker, error) {
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	b := &Broker{config: opts.Config, opts: opts, nodeID: opts.Config.NodeID, logger: opts.Logger, started: make(chan struct{})}
	if b.config.Alone() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startLimit)
		defer cancel()
	}
	if err := b.open(ctx, opts.Level); err != nil {
		return nil, errors.Join(err, b.Close(context.Background()))
	}
	return b, nil
}

func (b *Broker) open(ctx context.Context, level *zap.AtomicLevel) error {
	var err error
	if err = b.openDirs(); err != nil {
		return err
	}
	if err := b.observe(); err != nil {
		return err
	}
	b.openJournals()
	background, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.leaders, b.members, b.refetcher, b.orphans = newLeaders(b), newMembers(b), newRefetcher(b), newOrphans(b)
	homes, err := openHomes(b.files(), b.dirs.meta.path)
	if err != nil {
		return err
	}
	b.hosting, b.relocating = newHosting(b, homes), newRelocations(b)
	b.groups = consumergroup.NewService(b.groupOptions())
	b.server = protocol.NewServer(b, b.serverOptions())
	if err := b.openMetadata(background); err != nil {
		return err
	}
	b.openHTTP(level)
	if b.listeners, err = b.listen(); err != nil {
		return err
	}
	if err := b.register(ctx); err != nil {
		return err
	}
	if err := b.openPartitions(); err != nil {
		return err
	}
	b.running.Go(func() { b.follow(background) })
	b.running.Go(func() { b.watchDisks(background) })
	b.running.Go(func() { b.nurse(background) })
	b.running.Go(func() { b.relocating.run(background) })
	b.running.Go(func() { b.refetcher.run(background) })
	b.running.Go(func() { newScrubber(b).run(background) })
	b.running.Go(func() { b.keepHouse(background, b.config.RetentionCheckInterval) })
	b.running.Go(func() { b.giveBack(background) })
	if b.config.Compact {
		b.running.Go(func() { newCleaner(b).run(background) })
	}
	b.running.Go(func() { b.members.speak(background) })
	b.running.Go(func() { b.orphans.run(background) })
	b.running.Go(func() { b.leaders.spread(background) })
	if !b.config.Alone() {
		b.running.Go(func() { b.watchInSync(background) })
		b.running.Go(func() { b.agreeOnTombstones(background, b.config.CompactBackoff) })
		b.running.Go(func() { b.restorePreferred(background) })
		b.running.Go(func() { newMover(b).run(background) })
	}
	for i, l := range b.listeners {
		name := b.config.Listeners[i].Name
		b.logger.Info("listening", zap.String("listener", name), zap.Stringer("address", l.Addr()))
		b.serving.Go(func() { b.serve(l, name) })
	}
	b.phase.Store(int32(serving))
	return nil
}

// openMetadata starts the metadata group. What it holds is current only once register has returned.
func (b *Broker) openMetadata(background context.Context) error {
	var err error
	b.state = metadata.NewState(b.logger)
	b.machine = &metadataMachine{State: b.state}
	b.remembered.open(b.dirs.meta.path, b.logger)
	b.controller = metadata.New(b.state, proposer{b}, b.controllerOptions())
	b.node, err = replication.OpenNode(replication.NodeOptions{
		NodeID:   b.nodeID,
		Dir:      filepath.Join(b.dirs.meta.path, raftName),
		Writable: b.keepsPromises,
		Logger:   b.logger,
		Listen:   nodeListen(b.config),
		Peers:    b.peerAddress,
		Answer:   b.answer,

		Listener: b.opts.NodeListener,
		Dial:     b.opts.NodeDial,
	})
	if err != nil {
		return fmt.Errorf("open replication: %w", err)
	}
	voters := []int32{b.nodeID}
	if !b.config.Alone() {
		voters = nil
		if b.config.Controller {
			for _, v := range b.config.Voters {
				voters = append(voters, v.ID)
			}
		}
	}
	if b.meta, err = b.node.StartMetadata(replication.MetadataOptions{Machine: b.machine, Voters: voters}); err != nil {
		return fmt.Errorf("start metadata: %w", err)
	}
	close(b.started)
	b.compareVoters()
	b.running.Go(func() { b.members.preside(background) })
	return nil
}

func (b *Broker) clusterID() string {
	if b.config.ClusterID != "" {
		return b.config.ClusterID
	}
	return metadata.NewClusterID()
}

// openPartitions opens what the metadata gives to this node.
func (b *Broker) openPartitions() error {
	if err := b.hosting.sweep(b.Image()); err != nil {
		return err
	}
	b.sameBoot = sameBoot(b.dirs.meta.path)
	b.hosting.converge(b.Image())
	return noteBoot(b.dirs.meta.path, b.hosting.offline() == 0)
}

// listen opens every client listener. The ports are bound before the broker registers, so that port 0 can be advertised as what it became.
func (b *Broker) listen() ([]net.Listener, error) {
	var all []net.Listener
	for _, l := range b.config.Listeners {
		listener, err := net.Listen("tcp", l.Addr())
		if err != nil {
			for _, open := range all {
				_ = open.Close()
			}
			return nil, fmt.Errorf("listen for %s: %w", l.Name, err)
		}
		all = append(all, listener)
	}
	return all, nil
}

// register tells the cluster that this broker is here and where it is found. When it returns, this node's metadata has everything that was committed before.
func (b *Broker) register(ctx context.Context) error {
	note := time.AfterFunc(waitingNote, func() { b.logger.Info("waiting for the other nodes: the metadata group has no leader yet") })
	defer note.Stop()
	var joining sync.WaitGroup
	defer joining.Wait()
	join, registered := context.WithCancel(ctx)
	defer registered()
	joining.Go(func() { b.keepJoining(join) })
	image, err := b.state.Wait(ctx, func(i *metadata.Image) bool { return i.ClusterID != "" })
	if err != nil {
		return fmt.Errorf("wait for the metadata group: %w", err)
	}
	if b.config.ClusterID != "" && b.config.ClusterID != image.ClusterID {
		return fmt.Errorf("this node is configured for cluster %s, and its data is of cluster %s", b.config.ClusterID, image.ClusterID)
	}
	if !b.config.Broker { // it votes, and hosts nothing
		return nil
	}
	self := metadata.Broker{ID: b.nodeID, Rack: b.config.Rack, Directory: b.dirs.meta.identity()}
	for i, l := range b.config.AdvertisedListeners {
		if l.Port == 0 && i < len(b.listeners) {
			l.Port = b.listeners[i].Addr().(*net.TCPAddr).Port
		}
		self.Listeners = append(self.Listeners, metadata.Listener{Name: l.Name, Host: l.Host, Port: int32(l.Port)})
	}
	if l, ok := b.nodeAddress(); ok {
		self.Listeners = append(self.Listeners, l)
	}
	for {
		err := b.controller.RegisterBroker(ctx, self)
		if err == nil || ctx.Err() != nil || b.config.Alone() {
			return err
		}
		b.logger.Debug("register", zap.Error(err))
		select {
		case <-time.After(leaderlessPause):
		case <-ctx.Done():
			return fmt.Errorf("register: %w", ctx.Err())
		}
	}
}

func (b *Broker) serve(l net.Listener, name string) {
	if err := b.server.Serve(l, name); err != nil && !errors.Is(err, net.ErrClosed) {
		b.logger.Error("listener ended", zap.String("listener", name), zap.Error(err))
	}
}

// Addr is the address of the first listener, as it was bound; on a node that only votes, where other nodes reach it.
func (b *Broker) Addr() string {
	if len(b.listeners) > 0 {
		return b.listeners[0].Addr().String()
	}
	if a := b.node.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// follow keeps what runs here in step with the metadata until ctx ends.
func (b *Broker) follow(ctx context.Context) {
	news := b.state.Subscribe()
	defer news.Close()
	seen := b.Image()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news.C():
			image := b.Image()
			changes := metadata.Diff(seen, image)
			seen = image
			for _, t := range changes.Deleted { // first, and soon: offsets of a successor of the same name must not go with them
				b.groups.TopicDeleted(t.Name)
			}
			b.hosting.converge(image)
			if changes.DynamicConfig {
				b.hosting.reconfigure(image)
			}
			if changes.Brokers {
				b.remembered.note(image)
				b.leaders.wake()
			}
			for _, t := range changes.Deleted {
				b.leaders.forget(t.ID)
			}
		}
	}
}

// Close stops serving: leadership is handed over, requests in hand are finished until ctx ends, then everything is closed in the reverse order of Open. It may be
// called once.
func (b *Broker) Close(ctx context.Context) error {
	var errs []error
	b.phase.Store(int32(stopping))
	if b.hosting != nil && b.meta != nil {
		b.handOver(ctx)
	}
	if b.server != nil {
		errs = append(errs, b.server.Shutdown(ctx))
	}
	for _, l := range b.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	b.serving.Wait()
	if b.groups != nil {
		b.groups.Close()
	}
	if b.stop != nil {
		b.stop()
	}
	b.running.Wait()
	errs = append(errs, b.observed.close())
	if b.hosting != nil {
		errs = append(errs, b.hosting.close())
	}
	if b.meta != nil {
		errs = append(errs, b.meta.Close())
	}
	if b.node != nil {
		errs = append(errs, b.node.Close())
	}
	if b.dirs != nil {
		errs = append(errs, b.dirs.close())
	}
	return errors.Join(errs...)
}
