package metadata

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"
)

// Reassignment asks for a partition to be moved to other nodes. Without Replicas a move that is under way is undone.
type Reassignment struct {
	Topic     string
	Partition int32
	Replicas  []int32 // nil: cancel
}

// Adding are the nodes that a move under way brings in, Removing those that it lets go, as Kafka lists them.
func (p *Partition) Adding() []int32 { return without(p.Target, p.Before) }

// Removing are the nodes that a move under way lets go.
func (p *Partition) Removing() []int32 {
	if p.Target == nil {
		return nil
	}
	return without(p.Replicas, p.Target)
}

// Founders are the voters that the partition's group is founded with; nil once it is known to run: whoever has no state then waits until the leader comes, whatever it
// was before. The order is the same on every node.
func (p *Partition) Founders() []int32 {
	switch {
	case p.Founded:
		return nil
	case p.Target != nil:
		return slices.Sorted(slices.Values(p.Before))
	}
	return slices.Sorted(slices.Values(p.Replicas))
}

// without is a without those that b has.
func without(a, b []int32) (left []int32) {
	for _, id := range a {
		if !slices.Contains(b, id) {
			left = append(left, id)
		}
	}
	return left
}

// move is the partition on its way to target. Nodes of an earlier move that have no place any more stay in Replicas until the leader has removed them.
func (p Partition) move(target []int32) Partition {
	if p.Target == nil {
		if len(target) == len(p.Replicas) && len(without(target, p.Replicas)) == 0 {
			p.Replicas = target // only the order changes, on which Founders does not depend
			return p
		}
		p.Before = p.Replicas
	}
	p.Replicas = slices.Concat(target, without(p.Replicas, target))
	p.Target = target
	return p
}

// AlterReassignments begins, replaces and cancels moves. Result: []error, one for each.
type AlterReassignments struct {
	Moves []Move `json:"moves"`
	// SameFactor refuses moves that change how many replicas a partition has.
	SameFactor bool `json:"sameFactor,omitempty"`
}

// Move is one partition of AlterReassignments.
type Move struct {
	ID        TopicID `json:"id"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas,omitempty"` // none: cancel
}

// FinishReassignment says that the members of the partition's group are its target. Result: error or nil; refused when the target is another one by now.
type FinishReassignment struct {
	ID        TopicID `json:"id"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

func (AlterReassignments) kind() string { return "alter-reassignments" }
func (FinishReassignment) kind() string { return "finish-reassignment" }

func (o *outcome) alterReassignments(c AlterReassignments) {
	results := make([]error, len(c.Moves))
	o.image.cloneTopics()
	for i, m := range c.Moves {
		if err := o.move(m, c.SameFactor); err != nil {
			results[i] = err
		}
	}
	o.result = results
}

func (o *outcome) move(m Move, sameFactor bool) *Error {
	t, p, err := findPartition(o.image, m.ID, m.Partition)
	if err != nil {
		return err
	}
	target := m.Replicas
	if len(target) == 0 {
		if p.Target == nil {
			return noReassignment()
		}
		target = p.Before
	} else if err := checkTarget(o.image, p, target, sameFactor); err != nil {
		return err
	}
	o.putPartition(t, m.Partition, p.move(target))
	o.effect(ReassignmentChanged, partitionName(t, m.Partition))
	return nil
}

func noReassignment() *Error {
	return refuse(CodeNoReassignmentInProgress, "No partition reassignment is in progress.")
}

// checkTarget says whether a partition may be moved there.
func checkTarget(image *Image, p Partition, target []int32, sameFactor bool) *Error {
	if err := checkReplicas(image, []Partition{{Replicas: target}}, len(target)); err != nil {
		return coded(err, CodeInvalidReplicaAssignment)
	}
	have := p.Replicas
	if p.Target != nil {
		have = p.Before
	}
	if sameFactor && len(target) != len(have) {
		return refuse(CodeInvalidReplicationFactor, "The replication factor is changed from %d to %d", len(have), len(target))
	}
	return nil
}

func (o *outcome) finishReassignment(c FinishReassignment) {
	t, p, err := findPartition(o.image, c.ID, c.Partition)
	if err != nil {
		o.refuse(err)
		return
	}
	if p.Target == nil || !slices.Equal(p.Target, c.Replicas) {
		o.refuse(refuse(CodeNoReassignmentInProgress, "The partition is not on its way to %v.", c.Replicas))
		return
	}
	o.image.cloneTopics()
	o.putPartition(t, c.Partition, Partition{Replicas: p.Target, Founded: true})
	o.effect(ReassignmentFinished, partitionName(t, c.Partition))
}

func findPartition(image *Image, id TopicID, number int32) (*Topic, Partition, *Error) {
	t := image.ByID[id]
	if t == nil {
		return nil, Partition{}, refuse(CodeUnknownTopicOrPartition, "There is no topic with the id %s.", id)
	}
	if number < 0 || int(number) >= len(t.Partitions) {
		return nil, Partition{}, refuse(CodeUnknownTopicOrPartition, "The topic '%s' has no partition %d.", t.Name, number)
	}
	return t, t.Partitions[number], nil
}

// putPartition replaces one partition of a topic. The maps are the draft's own.
func (o *outcome) putPartition(t *Topic, number int32, p Partition) {
	next := *o.image.ByID[t.ID] // an earlier move of the same command may have replaced it
	next.Partitions = slices.Clone(next.Partitions)
	next.Partitions[number] = p
	o.image.putTopic(&next)
}

func partitionName(t *Topic, number int32) string { return fmt.Sprintf("%s-%d", t.Name, number) }

// Reassigning says whether a partition of the topic is being moved.
func (t *Topic) Reassigning() bool {
	return slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Target != nil })
}

func reassigning(t *Topic) *Error {
	return refuse(CodeReassignmentInProgress, "Partitions of topic '%s' are being moved; more can be added when they have arrived.", t.Name)
}

// AlterReassignments begins, replaces or cancels moves, and returns an error for each that was refused. Partitions move in the background: see Partition.Target.
func (c *Controller) AlterReassignments(ctx context.Context, moves []Reassignment, sameFactor bool) []error {
	image, errs := c.Image(), make([]error, len(moves))
	command := AlterReassignments{SameFactor: sameFactor}
	var positions []int
	for i, m := range moves {
		t := image.Topics[m.Topic]
		if t == nil {
			errs[i] = unknownTopic(m.Topic)
			continue
		}
		if m.Replicas != nil && len(m.Replicas) == 0 {
			errs[i] = refuse(CodeInvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
			continue
		}
		command.Moves = append(command.Moves, Move{ID: t.ID, Partition: m.Partition, Replicas: m.Replicas})
		positions = append(positions, i)
	}
	if len(positions) == 0 {
		return errs
	}
	result, err := c.propose(ctx, command)
	outcomes, _ := result.([]error)
	for n, i := range positions {
		switch {
		case err != nil:
			errs[i] = err
		case n >= len(outcomes):
			errs[i] = refuse(CodeUnknownServerError, "The outcome of moving %s-%d is missing.", moves[i].Topic, moves[i].Partition)
		default:
			errs[i] = outcomes[n]
		}
		if errs[i] == nil {
			c.logger.Info("partition is to be moved", zap.String("topic", moves[i].Topic), zap.Int32("partition", moves[i].Partition), zap.Int32s("to", moves[i].Replicas))
		}
	}
	return errs
}

// FinishReassignment notes that a partition has arrived: its group's members are exactly these.
func (c *Controller) FinishReassignment(ctx context.Context, id TopicID, number int32, replicas []int32) error {
	_, err := c.propose(ctx, FinishReassignment{ID: id, Partition: number, Replicas: replicas})
	return err
}
