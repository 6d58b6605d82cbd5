package protocol

import (
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
)

// led is a backend of which only the leader of the metadata group matters.
type led struct {
	Backend
	self, leader int32
}

func (l led) NodeID() int32     { return l.self }
func (l led) Controller() int32 { return l.leader }

// kafkajs asks the controller for a producer's id. It fails for good when that is -1, or a broker that the same reply does not name.
func TestClientsAreAlwaysNamedAControllerThatIsThere(t *testing.T) {
	image := &metadata.Image{Brokers: map[int32]*metadata.Broker{1: {ID: 1}, 2: {ID: 2}, 3: {ID: 3, Fenced: true}}}
	for _, c := range []struct {
		name               string
		self, leader, want int32
	}{
		{"it leads and is there", 1, 2, 2},
		{"nobody leads", 2, -1, 2},
		{"the leader is not there", 2, 3, 2},
		{"the leader is no broker", 1, 9, 1},
		{"nobody leads, and this node has not registered", 4, -1, 1},
	} {
		s := &Server{backend: led{self: c.self, leader: c.leader}}
		if got := s.controller(image); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := (&Server{backend: led{self: 1, leader: -1}}).controller(&metadata.Image{}); got != -1 {
		t.Errorf("nobody is there: %d", got)
	}
}
