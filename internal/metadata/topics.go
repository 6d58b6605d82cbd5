package metadata

import (
	"context"

	"go.uber.org/zap"
)

// CreateTopics creates topics and returns, for each, either the topic or the error. With validateOnly nothing is created and the topics returned are what would be.
// The broker waits for leaders; this method returns as soon as the topics are committed.
func (c *Controller) CreateTopics(ctx context.Context, topics []NewTopic, validateOnly bool) ([]*Topic, []error) {
	image := c.Image().draft(0) // grows as the request is worked through: later topics are placed with regard to earlier ones
	image.cloneTopics()
	made, errs := make([]*Topic, len(topics)), make([]error, len(topics))
	names := map[string]int{}
	for _, t := range topics {
		names[t.Name]++
	}
	var command CreateTopics
	var positions []int
	total := 0
	for i, t := range topics {
		if names[t.Name] > 1 {
			errs[i] = refuse(CodeInvalidRequest, "Duplicate topic name.")
			continue
		}
		made[i], errs[i] = c.design(image, t, &total)
		if errs[i] == nil {
			image.putTopic(made[i])
			command.Topics = append(command.Topics, made[i])
			positions = append(positions, i)
		}
	}
	if validateOnly || len(command.Topics) == 0 {
		return made, errs
	}
	result, err := c.propose(ctx, command)
	outcomes, _ := result.([]error)
	for n, i := range positions {
		switch {
		case err != nil:
			errs[i] = err
		case n >= len(outcomes):
			errs[i] = refuse(CodeUnknownServerError, "The outcome of creating topic '%s' is missing.", topics[i].Name)
		default:
			errs[i] = outcomes[n]
		}
		if errs[i] != nil {
			made[i] = nil
			continue
		}
		c.logger.Info("topic created", zap.String("topic", made[i].Name), zap.Stringer("id", made[i].ID), zap.Int("partitions", len(made[i].Partitions)),
			zap.Int16("replicas", made[i].ReplicationFactor()))
	}
	return made, errs
}

// design checks one request against the image and chooses what it leaves open. total counts the partitions of the whole request.
func (c *Controller) design(image *Image, t NewTopic, total *int) (*Topic, error) {
	if err := checkNewName(image, t.Name); err != nil {
		return nil, err
	}
	topic := &Topic{Name: t.Name, ID: c.opts.NewTopicID(), Config: cloneConfig(t.Config), Internal: t.Internal}
	var err error
	if len(t.Assignment) > 0 {
		topic.Partitions, err = assigned(image, t)
	} else {
		topic.Partitions, err = c.placed(image, t, topic.ID, *total)
	}
	if err != nil {
		return nil, err
	}
	if err := c.checkTotal(total, len(topic.Partitions)); err != nil {
		return nil, err
	}
	if err := c.opts.ValidateConfig(TopicConfig, topic.Config, sortedKeys(topic.Config)); err != nil {
		return nil, coded(err, CodeInvalidConfig)
	}
	return topic, nil
}

func (c *Controller) checkTotal(total *int, more int) error {
	if *total+more > c.opts.MaxPartitionsPerRequest {
		return refuse(CodePolicyViolation, "Excessively large number of partitions per request: the limit is %d.", c.opts.MaxPartitionsPerRequest)
	}
	*total += more
	return nil
}

// assigned are the partitions as the client wants them.
func assigned(image *Image, t NewTopic) ([]Partition, error) {
	switch {
	case t.Partitions != -1:
		return nil, refuse(CodeInvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	case t.ReplicationFactor != -1:
		return nil, refuse(CodeInvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	partitions := make([]Partition, len(t.Assignment))
	for i := range partitions {
		replicas, present := t.Assignment[int32(i)]
		if !present {
			return nil, refuse(CodeInvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		partitions[i].Replicas = replicas
	}
	return partitions, checkReplicas(image, partitions, len(partitions[0].Replicas))
}

// placed are partitions on brokers of our choice. before is how many partitions the request has asked for already.
func (c *Controller) placed(image *Image, t NewTopic, id TopicID, before int) ([]Partition, error) {
	count, factor := int(t.Partitions), int(t.ReplicationFactor)
	if count == -1 {
		count = int(c.opts.DefaultPartitions)
	}
	if factor == -1 {
		factor = int(c.opts.DefaultReplicationFactor)
	}
	if count <= 0 {
		return nil, refuse(CodeInvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	if factor <= 0 {
		return nil, refuse(CodeInvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	if err := c.checkTotal(&before, count); err != nil { // before placing: the number is the client's
		return nil, err
	}
	brokers, err := usable(image, factor)
	if err != nil {
		return nil, err
	}
	return place(image, nil, count, factor, brokers, seedOf(id)), nil
}

// usable are the brokers that new replicas may go to.
func usable(image *Image, factor int) ([]*Broker, error) {
	live := image.Live()
	switch {
	case len(live) == 0 && len(image.Brokers) > 0:
		return nil, refuse(CodeInvalidReplicationFactor, "Unable to replicate the partition %d time(s): All brokers are currently fenced.", factor)
	case len(live) < factor:
		return nil, refuse(CodeInvalidReplicationFactor, "Unable to replicate the partition %d time(s): "+
			"The target replication factor of %d cannot be reached because only %d broker(s) are registered.", factor, factor, len(live))
	}
	return live, nil
}

// CreatePartitions adds partitions to a topic.
func (c *Controller) CreatePartitions(ctx context.Context, p NewPartitions, validateOnly bool) error {
	image := c.Image()
	t := image.Topics[p.Topic]
	if t == nil {
		return unknownTopic(p.Topic)
	}
	have := len(t.Partitions)
	switch {
	case t.Reassigning():
		return reassigning(t)
	case int(p.Count) == have:
		return refuse(CodeInvalidPartitions, "Topic already has %d partition(s).", have)
	case int(p.Count) < have:
		return refuse(CodeInvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, have, p.Count)
	}
	added, err := c.more(image, t, int(p.Count)-have, p.Assignment)
	if err != nil || validateOnly {
		return err
	}
	if _, err := c.propose(ctx, CreatePartitions{Topic: t.Name, ID: t.ID, From: have, Added: added}); err != nil {
		return err
	}
	c.logger.Info("partitions added", zap.String("topic", t.Name), zap.Int("from", have), zap.Int32("to", p.Count))
	return nil
}

// more are the partitions that a topic gets in addition.
func (c *Controller) more(image *Image, t *Topic, count int, assignment [][]int32) ([]Partition, error) {
	total, factor := 0, int(t.ReplicationFactor())
	if err := c.checkTotal(&total, count); err != nil {
		return nil, err
	}
	if assignment == nil {
		brokers, err := usable(image, factor)
		if err != nil {
			return nil, err
		}
		return place(image, t.Partitions, count, factor, brokers, seedOf(t.ID)+uint64(len(t.Partitions))), nil
	}
	if len(assignment) != count {
		return nil, refuse(CodeInvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
			count, len(assignment))
	}
	added := make([]Partition, count)
	for i, replicas := range assignment {
		added[i].Replicas = replicas
	}
	return added, checkReplicas(image, added, factor)
}
