package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/replication"
)

// Kafka's error codes of elections.
const (
	codePreferredLeaderNotAvailable int16 = 80
	codeEligibleLeadersNotAvailable int16 = 83
	codeElectionNotNeeded           int16 = 84
)

// elect asks the leader of a partition to hand over to the replica that is preferred.
type elect struct {
	Topic  metadata.TopicID `json:"topic"`
	Number int32            `json:"number"`
}

// ElectLeader implements protocol.Backend. A replica that lacks what a majority has confirmed cannot be elected, whatever the client permits: there is no unclean election.
func (b *Broker) ElectLeader(ctx context.Context, topic *metadata.Topic, number int32, unclean bool) error {
	leader, _ := b.Leader(topic.ID, number)
	switch {
	case leader < 0 && unclean:
		return refusal(codeEligibleLeadersNotAvailable, "A majority of the replicas is out of reach, and none without what it has confirmed may lead.")
	case leader < 0:
		return refusal(codePreferredLeaderNotAvailable, "The partition has no leader that could hand over.")
	case unclean || leader == topic.Partitions[number].Replicas[0]:
		return refusal(codeElectionNotNeeded, "Leader election not needed for topic partition.")
	}
	_, err := b.ask(ctx, leader, question{Elect: &elect{topic.ID, number}})
	if errors.Is(err, replication.ErrUnreachable) {
		return refusal(codePreferredLeaderNotAvailable, "Node %d, which leads the partition, cannot be reached.", leader)
	}
	return err
}

func refusal(code int16, format string, args ...any) error {
	return &metadata.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// elect is asked of the partition's leader.
func (b *Broker) elect(ctx context.Context, e elect) reply {
	r := b.hosting.find(e.Topic, e.Number)
	refuse := func(format string, args ...any) reply {
		return reply{Error: &metadata.Error{Code: codePreferredLeaderNotAvailable, Message: fmt.Sprintf(format, args...)}}
	}
	if r == nil || r.err != nil {
		return refuse("Node %d has no replica.", b.nodeID)
	}
	preferred := r.preferred(b.Image())
	if preferred == b.nodeID {
		return reply{Error: &metadata.Error{Code: codeElectionNotNeeded, Message: "Leader election not needed for topic partition."}}
	}
	if !slices.Contains(r.group.InSync(), preferred) {
		return refuse("Replica %d, which is preferred, is not in sync.", preferred)
	}
	ctx, cancel := context.WithTimeout(ctx, transferLimit)
	defer cancel()
	if err := r.group.Transfer(ctx, preferred); err != nil {
		return refuse("Leadership was not handed over: %v", err)
	}
	return reply{}
}
