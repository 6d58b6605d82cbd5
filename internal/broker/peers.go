package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/replication"
)

// nodeListener is the name under which a broker registers where other nodes reach it. Clients are never told of it.
const nodeListener = "barnabas.node"

// question is what one node asks another. Exactly one field is set.
type question struct {
	Propose []byte        `json:"propose,omitempty"` // a command for the metadata group, for the node that leads it
	Beat    *beat         `json:"beat,omitempty"`    // "I am alive", for the node that leads the metadata group
	Led     *led          `json:"led,omitempty"`     // what the asking node leads
	Join    *joining      `json:"join,omitempty"`    // the asking node wants to follow the metadata group
	Leave   *leaving      `json:"leave,omitempty"`   // a node no longer follows it
	Elect   *elect        `json:"elect,omitempty"`   // hand a partition to the replica that is preferred
	Room    *ledPartition `json:"room,omitempty"`    // does the asked node's replica take records?
	Voting  *voting       `json:"voting,omitempty"`  // give a node a vote on the metadata, or take it
	Quorum  bool          `json:"quorum,omitempty"`  // how does the metadata group stand?

	Compacted *compacted `json:"compacted,omitempty"` // how far have you compacted what I lead?
	Refetch   *refetch   `json:"refetch,omitempty"`   // the asking node has lost a replica
}

// reply answers a question.
type reply struct {
	Index   uint64          `json:"index,omitempty"`   // of the metadata log, where a proposal ended up
	Unknown bool            `json:"unknown,omitempty"` // the broker that beats is not registered
	Error   *metadata.Error `json:"error,omitempty"`
	Leader  int32           `json:"leader,omitempty"`
	Room    bool            `json:"room,omitempty"`

	Quorum    *replication.Quorum `json:"quorum,omitempty"`
	Compacted []log.Offset        `json:"compacted,omitempty"`
	Refetch   *refetchReply       `json:"refetch,omitempty"`
}

// ask puts a question to another node.
func (b *Broker) ask(ctx context.Context, node int32, q question) (reply, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return reply{}, fmt.Errorf("encode question: %w", err)
	}
	answer, err := b.node.Call(ctx, node, body)
	if err != nil {
		return reply{}, err
	}
	var r reply
	if err := json.Unmarshal(answer, &r); err != nil {
		return reply{}, fmt.Errorf("answer of node %d: %w", node, err)
	}
	if r.Error != nil {
		return r, r.Error
	}
	return r, nil
}

// answer answers a question of another node. It is replication's NodeOptions.Answer.
func (b *Broker) answer(ctx context.Context, from int32, body []byte) ([]byte, error) {
	select {
	case <-b.started: // b.meta and the rest are set
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var q question
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("question of node %d: %w", from, err)
	}
	var r reply
	switch {
	case q.Propose != nil:
		r = b.proposed(ctx, q.Propose)
	case q.Beat != nil:
		r = b.members.beat(from, *q.Beat)
	case q.Led != nil:
		b.leaders.told(from, *q.Led)
	case q.Join != nil:
		r = b.join(ctx, from, *q.Join)
	case q.Leave != nil:
		r = b.leave(ctx, *q.Leave)
	case q.Elect != nil:
		r = b.elect(ctx, *q.Elect)
	case q.Compacted != nil:
		r.Compacted = b.howFarCompacted(*q.Compacted)
	case q.Room != nil:
		r = b.hasRoom(*q.Room)
	case q.Voting != nil:
		r = b.vote(ctx, *q.Voting)
	case q.Quorum:
		r = b.describeQuorum()
	case q.Refetch != nil:
		r = b.refetched(from, *q.Refetch)
	default:
		return nil, fmt.Errorf("question of node %d: of a kind that this version does not know", from)
	}
	return json.Marshal(r)
}

// peerAddress is where another node listens for its peers: as the voters are configured, as it said when it joined, or as it registered.
func (b *Broker) peerAddress(id int32) (string, bool) {
	for _, v := range b.config.Voters {
		if v.ID == id {
			return v.Addr(), true
		}
	}
	if b.state == nil {
		return "", false
	}
	broker := b.state.Image().Brokers[id]
	if l, ok := b.joiners.find(id, broker); ok {
		return listenerAddress(l), true
	}
	if address, ok := registeredAddress(broker); ok {
		return address, true
	}
	return b.remembered.find(id)
}

// registeredAddress is where a broker listens for other nodes.
func registeredAddress(broker *metadata.Broker) (string, bool) {
	if broker != nil {
		for _, l := range broker.Listeners {
			if l.Name == nodeListener {
				return listenerAddress(l), true
			}
		}
	}
	return "", false
}

func listenerAddress(l metadata.Listener) string {
	return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
}

// nodeAddress is what this node registers as its own address among nodes; false when it listens for none.
func (b *Broker) nodeAddress() (metadata.Listener, bool) {
	bound := b.node.Addr()
	if bound == nil {
		return metadata.Listener{}, false
	}
	told := b.config.AdvertisedNode
	l := metadata.Listener{Name: nodeListener, Host: told.Host, Port: int32(told.Port)}
	if l.Port == 0 {
		l.Port = int32(bound.(*net.TCPAddr).Port)
	}
	return l, true
}

// nodeListen is the address to listen on for other nodes, "" when this node is alone.
func nodeListen(c *config.Server) string {
	if c.Alone() {
		return ""
	}
	return c.NodeListener.Addr()
}
