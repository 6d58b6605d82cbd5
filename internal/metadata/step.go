package metadata

import (
	"errors"
	"maps"
	"math"
	"slices"
)

// EffectKind says what a command changed.
type EffectKind string

// What can change.
const (
	TopicCreated       EffectKind = "topic created"
	TopicDeleted       EffectKind = "topic deleted"
	PartitionsAdded    EffectKind = "partitions added"
	ConfigChanged      EffectKind = "config changed"
	BrokerRegistered   EffectKind = "broker registered"
	BrokerUnregistered EffectKind = "broker unregistered"
	BrokerFenced       EffectKind = "broker fenced"
	BrokerUnfenced     EffectKind = "broker unfenced"
	ProducerIDsTaken   EffectKind = "producer ids taken"
	ClusterNamed       EffectKind = "cluster named"

	ReassignmentChanged  EffectKind = "reassignment changed"
	ReassignmentFinished EffectKind = "reassignment finished"
)

// Effect is one thing that a command changed, for logs and stories. Whoever has to act compares images instead (see Diff): it may have missed commands.
type Effect struct {
	Kind EffectKind
	Name string // the topic, the broker, the resource
}

// outcome is what a command leads to: the next image, the proposer's result, what changed.
type outcome struct {
	image   *Image
	result  any
	effects []Effect
}

// step applies one command to an image. It is pure: the same image, index and command give the same outcome on every node, for ever. It reads no clock, no
// configuration table and no random number, because those differ between nodes and versions.
func step(image *Image, index uint64, c Command) outcome {
	o := outcome{image: image.draft(index)}
	switch c := c.(type) {
	case CreateTopics:
		o.createTopics(c)
	case DeleteTopic:
		o.deleteTopic(c)
	case CreatePartitions:
		o.createPartitions(c)
	case AlterConfig:
		o.alterConfig(c)
	case RegisterBroker:
		o.registerBroker(c)
	case UnregisterBroker:
		o.unregisterBroker(c)
	case FenceBroker:
		o.fenceBroker(c)
	case AllocateProducerIDs:
		o.allocateProducerIDs(c)
	case SetClusterID:
		o.setClusterID(c)
	case AlterReassignments:
		o.alterReassignments(c)
	case FinishReassignment:
		o.finishReassignment(c)
	}
	return o
}

func (o *outcome) effect(kind EffectKind, name string) {
	o.effects = append(o.effects, Effect{Kind: kind, Name: name})
}

// refuse makes err the result. (A nil *Error in an interface would not be nil.)
func (o *outcome) refuse(err *Error) { o.result = error(err) }

func (o *outcome) createTopics(c CreateTopics) {
	results := make([]error, len(c.Topics))
	o.image.cloneTopics()
	for i, t := range c.Topics {
		if err := checkNewTopic(o.image, t); err != nil {
			results[i] = err
			continue
		}
		o.image.putTopic(t)
		o.effect(TopicCreated, t.Name)
	}
	o.result = results
}

// checkNewTopic says whether the topic may be created in this image: its name is free and its replicas are registered.
func checkNewTopic(image *Image, t *Topic) error {
	if t == nil {
		return refuse(CodeInvalidRequest, "No topic given.")
	}
	if err := checkNewName(image, t.Name); err != nil {
		return err
	}
	if t.ID == (TopicID{}) || image.ByID[t.ID] != nil {
		return refuse(CodeInvalidRequest, "Topic id %s is not free.", t.ID)
	}
	if len(t.Partitions) == 0 {
		return refuse(CodeInvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	return checkReplicas(image, t.Partitions, len(t.Partitions[0].Replicas))
}

// checkNewName says whether a topic of this name may be created.
func checkNewName(image *Image, name string) error {
	if err := ValidateTopicName(name); err != nil {
		return err
	}
	if name == metadataTopic {
		return refuse(CodeInvalidRequest, "Creation of internal topic %s is prohibited.", name)
	}
	if image.Topics[name] != nil {
		return refuse(CodeTopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if other, taken := image.merged[mergedName(name)]; taken {
		return refuse(CodeInvalidTopic, "Topic '%s' collides with existing topic: %s", name, other)
	}
	return nil
}

// checkReplicas says whether every partition has factor replicas, all different, on registered brokers.
func checkReplicas(image *Image, partitions []Partition, factor int) error {
	for _, p := range partitions {
		if len(p.Replicas) == 0 {
			return refuse(CodeInvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
		}
		if len(p.Replicas) != factor {
			return refuse(CodeInvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), "+
				"but this is not consistent with previous partitions, which have %d replica(s).", len(p.Replicas), factor)
		}
		for i, id := range p.Replicas {
			if image.Brokers[id] == nil {
				return refuse(CodeInvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
			}
			if slices.Contains(p.Replicas[:i], id) {
				return refuse(CodeInvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
			}
		}
	}
	return nil
}

func (o *outcome) deleteTopic(c DeleteTopic) {
	t := o.image.Topics[c.Name]
	if t == nil || t.ID != c.ID {
		o.refuse(unknownTopic(c.Name))
		return
	}
	o.image.cloneTopics()
	o.image.removeTopic(t)
	o.effect(TopicDeleted, t.Name)
}

func unknownTopic(name string) *Error {
	return refuse(CodeUnknownTopicOrPartition, "The topic '%s' does not exist.", clip(name))
}

func (o *outcome) createPartitions(c CreatePartitions) {
	t := o.image.Topics[c.Topic]
	if t == nil || t.ID != c.ID {
		o.refuse(unknownTopic(c.Topic))
		return
	}
	if t.Reassigning() {
		o.refuse(reassigning(t))
		return
	}
	if len(t.Partitions) != c.From || len(c.Added) == 0 {
		o.refuse(refuse(CodeInvalidPartitions, "Topic already has %d partition(s).", len(t.Partitions)))
		return
	}
	if err := checkReplicas(o.image, c.Added, len(t.Partitions[0].Replicas)); err != nil {
		o.result = err
		return
	}
	grown := *t
	grown.Partitions = slices.Concat(t.Partitions, c.Added)
	o.image.cloneTopics()
	o.image.putTopic(&grown)
	o.effect(PartitionsAdded, t.Name)
}

func (o *outcome) alterConfig(c AlterConfig) {
	r := ConfigResource{Type: c.Type, Name: c.Name}
	if err := checkResource(o.image, r); err != nil {
		o.result = err
		return
	}
	current := o.image.Config(r)
	for name, expected := range c.Expect {
		value, isSet := current[name]
		if isSet != (expected != nil) || isSet && value != *expected {
			o.refuse(refuse(codeConflict, conflictText))
			return
		}
	}
	o.image.setConfig(r, changed(current, c.Changes, c.Replace))
	o.effect(ConfigChanged, r.String())
}

// checkResource says whether the resource is one whose configuration is kept here, and exists.
func checkResource(image *Image, r ConfigResource) error {
	switch r.Type {
	case TopicConfig:
		if r.Name == "" {
			return refuse(CodeInvalidRequest, "Default topic resources are not allowed.")
		}
		if err := ValidateTopicName(r.Name); err != nil {
			return err
		}
		if image.Topics[r.Name] == nil {
			return unknownTopic(r.Name)
		}
		return nil
	case BrokerConfig:
		id, err := parseBrokerName(r.Name)
		if err != nil {
			return err
		}
		if id != DefaultBroker && image.Brokers[id] == nil {
			return refuse(CodeInvalidRequest, "No broker with id %d is registered.", id)
		}
		return nil
	case GroupConfig:
		if r.Name == "" {
			return refuse(CodeInvalidRequest, "Default group resources are not allowed.")
		}
		return nil
	}
	return refuse(CodeInvalidRequest, "The configuration of a %s cannot be changed.", r.Type)
}

// changed is a configuration after changes; nil when nothing is left.
func changed(current map[string]string, changes map[string]*string, replace bool) map[string]string {
	next := map[string]string{}
	if !replace {
		maps.Copy(next, current)
	}
	for name, value := range changes {
		if value == nil {
			delete(next, name)
		} else {
			next[name] = *value
		}
	}
	if len(next) == 0 {
		return nil
	}
	return next
}

// setConfig replaces a resource's configuration in a draft. The resource has passed checkResource.
func (i *Image) setConfig(r ConfigResource, values map[string]string) {
	switch r.Type {
	case TopicConfig:
		t := *i.Topics[r.Name]
		t.Config = values
		i.cloneTopics()
		i.putTopic(&t)
	case BrokerConfig:
		id, _ := parseBrokerName(r.Name) // checked
		i.BrokerConfig = maps.Clone(i.BrokerConfig)
		putOrDelete(i.BrokerConfig, id, values)
	case GroupConfig:
		i.GroupConfig = maps.Clone(i.GroupConfig)
		putOrDelete(i.GroupConfig, r.Name, values)
	}
}

func putOrDelete[K comparable](m map[K]map[string]string, key K, values map[string]string) {
	if values == nil {
		delete(m, key)
	} else {
		m[key] = values
	}
}

func (o *outcome) registerBroker(c RegisterBroker) {
	b := c.Broker
	if b.ID < 0 {
		o.refuse(refuse(CodeInvalidRequest, "Invalid negative broker ID."))
		return
	}
	b.Epoch = int64(min(o.image.Index, math.MaxInt64))
	o.putBroker(&b)
	o.effect(BrokerRegistered, brokerName(b.ID))
	o.result = &b
}

func (o *outcome) unregisterBroker(c UnregisterBroker) {
	if o.image.Brokers[c.ID] == nil {
		o.refuse(unknownBroker(c.ID))
		return
	}
	o.image.Brokers = maps.Clone(o.image.Brokers)
	delete(o.image.Brokers, c.ID)
	o.effect(BrokerUnregistered, brokerName(c.ID))
}

func (o *outcome) fenceBroker(c FenceBroker) {
	b := o.image.Brokers[c.ID]
	if b == nil {
		o.refuse(unknownBroker(c.ID))
		return
	}
	if c.Epoch != 0 && c.Epoch != b.Epoch {
		o.refuse(refuse(CodeStaleBrokerEpoch, "Broker %d has registered again since.", c.ID))
		return
	}
	if b.Fenced == c.Fenced {
		return
	}
	next := *b
	next.Fenced = c.Fenced
	o.putBroker(&next)
	if c.Fenced {
		o.effect(BrokerFenced, brokerName(c.ID))
	} else {
		o.effect(BrokerUnfenced, brokerName(c.ID))
	}
}

func (o *outcome) putBroker(b *Broker) {
	o.image.Brokers = maps.Clone(o.image.Brokers)
	o.image.Brokers[b.ID] = b
}

func unknownBroker(id int32) *Error {
	return refuse(CodeBrokerIDNotRegistered, "Broker ID %d is not currently registered", id)
}

func (o *outcome) allocateProducerIDs(c AllocateProducerIDs) {
	if c.Count <= 0 || c.Count > math.MaxInt64-o.image.NextProducerID {
		o.refuse(refuse(CodeInvalidRequest, "Cannot allocate %d producer ids after %d.", c.Count, o.image.NextProducerID))
		return
	}
	o.result = ProducerIDs{First: o.image.NextProducerID, Count: c.Count}
	o.image.NextProducerID += c.Count
	o.effect(ProducerIDsTaken, "")
}

func (o *outcome) setClusterID(c SetClusterID) {
	switch {
	case c.ID == "":
		o.refuse(refuse(CodeInvalidRequest, "The cluster id is empty."))
	case o.image.ClusterID == c.ID:
	case o.image.ClusterID != "":
		o.refuse(refuse(CodeInconsistentClusterID, "This cluster has the id %s, not %s.", o.image.ClusterID, c.ID))
	default:
		o.image.ClusterID = c.ID
		o.effect(ClusterNamed, c.ID)
	}
}

// errorOf is the error in a result, if it is one.
func errorOf(result any) error {
	if err, ok := result.(error); ok {
		return err
	}
	return nil
}

func isConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == codeConflict
}
