package broker

import (
	"context"
	"errors"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/protocol"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
)

// Kafka's error codes of changes of the voters.
const (
	codeInvalidVoterKey int16 = 125
	codeDuplicateVoter  int16 = 126
	codeVoterNotFound   int16 = 127
)

// voting asks for a vote to be given or taken.
type voting struct {
	Node      int32            `json:"node"`
	Directory metadata.TopicID `json:"directory"`
	Remove    bool             `json:"remove,omitempty"`
	Limit     time.Duration    `json:"limit"` // how long it may take
}

// AddVoter implements protocol.Backend.
func (b *Broker) AddVoter(ctx context.Context, v protocol.Voter) error {
	return b.changeVoters(ctx, voting{Node: v.Node, Directory: v.Directory})
}

// RemoveVoter implements protocol.Backend.
func (b *Broker) RemoveVoter(ctx context.Context, v protocol.Voter) error {
	return b.changeVoters(ctx, voting{Node: v.Node, Directory: v.Directory, Remove: true})
}

// changeVoters asks whoever leads the metadata group. A leader that is to go hands over, and the next one is asked.
func (b *Broker) changeVoters(ctx context.Context, v voting) error {
	for {
		deadline, ok := ctx.Deadline()
		if v.Limit = proposeLimit; ok {
			v.Limit = time.Until(deadline)
		}
		wake := b.machine.leading.wait()
		_, err := b.askController(ctx, question{Voting: &v})
		var refused *metadata.Error
		if err == nil || errors.As(err, &refused) && refused.Code != metadata.CodeNotController {
			return err
		}
		select {
		case <-wake:
		case <-time.After(leaderlessPause):
		case <-ctx.Done():
			return &metadata.Error{Code: metadata.CodeRequestTimedOut, Message: "the voters were not changed in time: " + err.Error(), Cause: err}
		}
	}
}

// vote is asked of the node that leads the metadata group.
func (b *Broker) vote(ctx context.Context, v voting) reply {
	ctx, cancel := context.WithTimeout(ctx, v.Limit)
	defer cancel()
	change := b.addVoter
	if v.Remove {
		change = b.removeVoter
	}
	err := change(ctx, v)
	var refused *metadata.Error
	switch {
	case err == nil:
		return reply{}
	case errors.As(err, &refused):
	case errors.Is(err, replication.ErrNotLeader), errors.Is(err, replication.ErrLeads):
		refused = &metadata.Error{Code: metadata.CodeNotController, Message: err.Error()}
	case errors.Is(err, replication.ErrLastVoter):
		refused = &metadata.Error{Code: metadata.CodeInvalidRequest, Message: err.Error()}
	default:
		refused = &metadata.Error{Code: metadata.CodeRequestTimedOut, Message: err.Error()}
	}
	return reply{Error: refused}
}

// addVoter gives a vote to a broker that is alive: it follows the metadata already, or comes to.
func (b *Broker) addVoter(ctx context.Context, v voting) error {
	if voter, err := b.votes(v.Node); err != nil {
		return err
	} else if voter {
		return refusal(codeDuplicateVoter, "Node %d is a voter already.", v.Node)
	}
	image, err := b.state.Wait(ctx, func(i *metadata.Image) bool { b := i.Brokers[v.Node]; return b != nil && !b.Fenced })
	if err != nil {
		return refusal(metadata.CodeRequestTimedOut, "Node %d is not among the brokers that are alive.", v.Node)
	}
	if has := directoryOf(image.Brokers[v.Node]); has != v.Directory {
		return refusal(codeInvalidVoterKey, "The votes of node %d are in directory %s, not %s.", v.Node, has, v.Directory)
	}
	return b.meta.AddVoter(ctx, v.Node)
}

// removeVoter takes a vote away. A node that is a broker goes on to follow the metadata; any other is forgotten.
func (b *Broker) removeVoter(ctx context.Context, v voting) error {
	broker := b.Image().Brokers[v.Node]
	if voter, err := b.votes(v.Node); err != nil {
		return err
	} else if !voter {
		return refusal(codeVoterNotFound, "Node %d is no voter.", v.Node)
	}
	if has := directoryOf(broker); has != (metadata.TopicID{}) && has != v.Directory {
		return refusal(codeVoterNotFound, "The votes of node %d are in directory %s, not %s.", v.Node, has, v.Directory)
	}
	err := b.meta.RemoveVoter(ctx, v.Node, broker == nil)
	if errors.Is(err, replication.ErrLeads) {
		return errors.Join(err, b.meta.Transfer(ctx))
	}
	return err
}

// votes says whether a node is a voter, as the leader of the metadata group knows it; an error elsewhere.
func (b *Broker) votes(node int32) (bool, error) {
	q, err := b.meta.Quorum()
	if err != nil {
		return false, err
	}
	for _, m := range q.Members {
		if m.Node == node {
			return m.Voter, nil
		}
	}
	return false, nil
}

// directoryOf is the id of the directory that a broker's votes are in; zero when it is not known.
func directoryOf(b *metadata.Broker) metadata.TopicID {
	if b == nil {
		return metadata.TopicID{}
	}
	id, _ := metadata.ParseTopicID(b.Directory)
	return id
}

// compareVoters says so when the voters that were configured are not those that the group has come to have. What is stored counts.
func (b *Broker) compareVoters() {
	stored, votes := map[int32]bool{}, []int32{}
	for _, m := range b.meta.Members() {
		if m.Voter {
			stored[m.Node] = true
			votes = append(votes, m.Node)
		}
	}
	configured, same := []int32{}, len(stored) == len(b.config.Voters)
	for _, v := range b.config.Voters {
		configured = append(configured, v.ID)
		same = same && stored[v.ID]
	}
	if len(stored) == 0 || len(configured) == 0 || same {
		return
	}
	b.logger.Info("the voters have changed since controller.quorum.voters was written: those that are stored count",
		zap.Int32s("stored", votes), zap.Int32s("configured", configured))
}
