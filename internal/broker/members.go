package broker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// beat says that a broker is alive.
type beat struct {
	Epoch int64 `json:"epoch"` // of its registration
}

// members watches, on the node that leads the metadata group, who is alive: a broker that has been silent for broker.session.timeout.ms is fenced, one that speaks again is not.
type members struct {
	b *Broker

	mu    sync.Mutex // guards following
	heard map[int32]time.Time
	since time.Time // when this node began to lead; zero while it does not
}

func newMembers(b *Broker) *members { return &members{b: b, heard: map[int32]time.Time{}} }

// beat notes that a broker lives.
func (m *members) beat(from int32, s beat) reply {
	broker := m.b.Image().Brokers[from]
	if broker == nil || s.Epoch != broker.Epoch {
		return reply{Unknown: true}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard[from] = time.Now()
	return reply{}
}

// preside does what only the leader of the metadata group does, until ctx ends: names the cluster, fences and unfences brokers.
func (m *members) preside(ctx context.Context) {
	tick := time.NewTicker(max(50*time.Millisecond, m.b.config.BrokerSessionTimeout/20))
	defer tick.Stop()
	for {
		changed := m.b.machine.leading.wait()
		leader, _ := m.b.meta.Leader()
		if m.leads(leader == m.b.nodeID) {
			m.nameCluster(ctx)
			m.fence(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// leads notes whether this node leads. Whoever begins to lead has heard nobody yet, and gives everyone a whole session.
func (m *members) leads(now bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !now:
		m.since = time.Time{}
	case m.since.IsZero():
		m.since = time.Now()
		clear(m.heard)
	}
	return now
}

func (m *members) nameCluster(ctx context.Context) {
	if m.b.Image().ClusterID != "" {
		return
	}
	err := m.b.controller.SetClusterID(ctx, m.b.clusterID())
	if err != nil && ctx.Err() == nil && m.b.Image().ClusterID == "" { // after a start it may have had a name that was not read again yet
		m.b.logger.Warn("name the cluster", zap.Error(err))
	}
}

func (m *members) fence(ctx context.Context) {
	for id, broker := range m.b.Image().Brokers {
		m.mu.Lock()
		last := m.heard[id]
		if last.Before(m.since) {
			last = m.since
		}
		spoke := m.heard[id].After(m.since)
		m.mu.Unlock()
		silent := time.Since(last) > m.b.config.BrokerSessionTimeout && id != m.b.nodeID
		if silent == broker.Fenced || broker.Fenced && !spoke && id != m.b.nodeID {
			continue
		}
		if err := m.b.controller.FenceBroker(ctx, id, broker.Epoch, silent); err != nil {
			m.b.logger.Warn("fence a broker", zap.Int32("broker", id), zap.Bool("fenced", silent), zap.Error(err))
			continue
		}
		if silent {
			m.b.logger.Warn("broker is silent, fenced", zap.Int32("broker", id), zap.Time("heard", last))
		} else {
			m.b.logger.Info("broker is back", zap.Int32("broker", id))
		}
	}
}

// speak tells the leader of the metadata group, every broker.heartbeat.interval.ms, that this broker is alive. One that is no longer known registers again.
func (m *members) speak(ctx context.Context) {
	tick := time.NewTicker(m.b.config.BrokerHeartbeatInterval)
	defer tick.Stop()
	for {
		changed := m.b.machine.leading.wait()
		m.speakOnce(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

func (m *members) speakOnce(ctx context.Context) {
	leader, _ := m.b.meta.Leader()
	self := m.b.Image().Brokers[m.b.nodeID]
	if leader < 0 || leader == m.b.nodeID || self == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.b.config.BrokerHeartbeatInterval)
	defer cancel()
	r, err := m.b.ask(ctx, leader, question{Beat: &beat{Epoch: self.Epoch}})
	if err != nil {
		m.b.logger.Debug("heartbeat to the controller", zap.Int32("controller", leader), zap.Error(err))
		return
	}
	if r.Unknown && m.b.Image().Brokers[m.b.nodeID] == nil {
		if err := m.b.register(ctx); err != nil {
			m.b.logger.Warn("register again", zap.Error(err))
		}
	}
}
