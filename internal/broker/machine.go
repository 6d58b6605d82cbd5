package broker

import (
	"sync"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
)

// metadataMachine is the cluster's state as its Raft group drives it.
type metadataMachine struct {
	*metadata.State
	led  chan struct{} // closed when this node leads for the first time
	once sync.Once
}

// Apply implements replication.MetadataMachine.
func (m *metadataMachine) Apply(index log.Index, command []byte) any {
	return m.State.Apply(uint64(index), command)
}

// Lead implements replication.MetadataMachine.
func (m *metadataMachine) Lead(log.Term) { m.once.Do(func() { close(m.led) }) }

// Resign implements replication.MetadataMachine.
func (m *metadataMachine) Resign(int32) {}
