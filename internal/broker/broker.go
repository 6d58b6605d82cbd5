package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/protocol"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
)

// startLimit bounds how long a node waits for its metadata group, and then for its partitions, before it says that it cannot start.
const startLimit = 30 * time.Second

// Options of a Broker.
type Options struct {
	Config *config.Server
	Logger *zap.Logger // nil: no output
}

// Broker is one node. Open it, then Close it.
type Broker struct {
	config *config.Server
	nodeID int32
	logger *zap.Logger

	lock       *directoryLock
	node       *replication.Node
	meta       *replication.Metadata
	state      *metadata.State
	controller *metadata.Controller
	hosting    *hosting
	groups     *consumergroup.Service
	server     *protocol.Server
	listeners  []net.Listener

	stop    context.CancelFunc // ends the goroutines counted in running
	running sync.WaitGroup
}

// Open starts a node and returns when it serves: its metadata is current, its partitions are open, and its listeners accept. ctx bounds the start only.
func Open(ctx context.Context, opts Options) (*Broker, error) {
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	b := &Broker{config: opts.Config, nodeID: opts.Config.NodeID, logger: opts.Logger}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close(context.Background()))
	}
	return b, nil
}

func (b *Broker) open(ctx context.Context) error {
	var err error
	if b.lock, err = lockDirectory(b.config.LogDir, b.nodeID); err != nil {
		return err
	}
	if err := b.openMetadata(ctx); err != nil {
		return err
	}
	b.groups = consumergroup.NewService(b.groupOptions())
	if err := b.openPartitions(); err != nil {
		return err
	}
	b.server = protocol.NewServer(b, b.serverOptions())
	if b.listeners, err = b.listen(); err != nil {
		return err
	}
	if err := b.register(ctx); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.running.Go(func() { b.follow(background) })
	b.running.Go(func() { b.keepHouse(background, b.config.RetentionCheckInterval) })
	for i, l := range b.listeners {
		b.running.Go(func() { b.serve(l, b.config.Listeners[i].Name) })
	}
	return nil
}

// openMetadata starts the metadata group and waits until everything that was committed before is known.
func (b *Broker) openMetadata(ctx context.Context) error {
	var err error
	b.node, err = replication.OpenNode(replication.NodeOptions{
		NodeID: b.nodeID,
		Dir:    filepath.Join(b.config.LogDir, "raft"),
		Logger: b.logger,
	})
	if err != nil {
		return fmt.Errorf("open replication: %w", err)
	}
	b.state = metadata.NewState(b.logger)
	machine := &metadataMachine{State: b.state, led: make(chan struct{})}
	if b.meta, err = b.node.StartMetadata(replication.MetadataOptions{Machine: machine, Voters: []int32{b.nodeID}}); err != nil {
		return fmt.Errorf("start metadata: %w", err)
	}
	select {
	case <-machine.led:
	case <-ctx.Done():
		return fmt.Errorf("wait for the metadata group: %w", ctx.Err())
	}
	b.controller = metadata.New(b.state, b.meta, b.controllerOptions())
	if b.controller.Image().ClusterID == "" {
		if err := b.controller.SetClusterID(ctx, b.clusterID()); err != nil {
			return fmt.Errorf("name the cluster: %w", err)
		}
	}
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
	root := filepath.Join(b.config.LogDir, "topics")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	b.hosting = newHosting(b, root)
	if err := b.hosting.sweep(b.Image()); err != nil {
		return err
	}
	b.hosting.converge(b.Image())
	return nil
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

// register tells the cluster that this broker is here and where clients find it.
func (b *Broker) register(ctx context.Context) error {
	self := metadata.Broker{ID: b.nodeID, Rack: b.config.Rack}
	for i, l := range b.config.AdvertisedListeners {
		if l.Port == 0 && i < len(b.listeners) {
			l.Port = b.listeners[i].Addr().(*net.TCPAddr).Port
		}
		self.Listeners = append(self.Listeners, metadata.Listener{Name: l.Name, Host: l.Host, Port: int32(l.Port)})
	}
	if err := b.controller.RegisterBroker(ctx, self); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

func (b *Broker) serve(l net.Listener, name string) {
	b.logger.Info("listening", zap.String("listener", name), zap.Stringer("address", l.Addr()))
	if err := b.server.Serve(l, name); err != nil && !errors.Is(err, net.ErrClosed) {
		b.logger.Error("listener ended", zap.String("listener", name), zap.Error(err))
	}
}

// Addr is the address of the first listener, as it was bound.
func (b *Broker) Addr() string { return b.listeners[0].Addr().String() }

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
			b.hosting.converge(image)
			if changes.DynamicConfig {
				b.hosting.reconfigure(image)
			}
			for _, t := range changes.Deleted {
				b.groups.TopicDeleted(t.Name)
			}
		}
	}
}

// Close stops serving: requests in hand are finished until ctx ends, then everything is closed in the reverse order of Open. It may be called once.
func (b *Broker) Close(ctx context.Context) error {
	var errs []error
	if b.stop != nil {
		errs = append(errs, b.server.Shutdown(ctx))
		b.stop()
		b.running.Wait()
	} else {
		for _, l := range b.listeners {
			errs = append(errs, l.Close())
		}
	}
	if b.groups != nil {
		b.groups.Close()
	}
	if b.hosting != nil {
		errs = append(errs, b.hosting.close())
	}
	if b.meta != nil {
		errs = append(errs, b.meta.Close())
	}
	if b.node != nil {
		errs = append(errs, b.node.Close())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.release())
	}
	return errors.Join(errs...)
}
