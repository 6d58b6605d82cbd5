package broker

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/protocol"
)

// Quorum implements protocol.Backend: the leader of the metadata group knows.
func (b *Broker) Quorum(ctx context.Context) (protocol.Quorum, error) {
	r, err := b.askController(ctx, question{Quorum: true})
	if err != nil {
		return protocol.Quorum{}, err
	}
	out := protocol.Quorum{Leader: r.Quorum.Leader, Epoch: int32(r.Quorum.Term), Commit: int64(r.Quorum.Commit)}
	for _, m := range r.Quorum.Members {
		p := protocol.QuorumMember{Node: m.Node, Directory: directoryOf(b.Image().Brokers[m.Node]), Voter: m.Voter, End: int64(m.Last), HeardMs: -1}
		if !m.Heard.IsZero() {
			p.HeardMs = m.Heard.UnixMilli()
		}
		out.Members = append(out.Members, p)
	}
	return out, nil
}

// describeQuorum is asked of the node that leads the metadata group.
func (b *Broker) describeQuorum() reply {
	q, err := b.meta.Quorum()
	if err != nil {
		return reply{Error: &metadata.Error{Code: metadata.CodeNotController, Message: err.Error()}}
	}
	return reply{Quorum: &q}
}
