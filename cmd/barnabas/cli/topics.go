package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Topics looks topics up by name and fails if one does not exist, with the names that are near.
func (s *Session) Topics(ctx context.Context, names ...string) (kadm.TopicDetails, error) {
	if len(names) == 0 {
		return nil, Usagef("name a topic")
	}
	for _, name := range names {
		if err := CheckTopicName(name); err != nil {
			return nil, err
		}
	}
	m, err := s.Admin.Metadata(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		topic, ok := m.Topics[name]
		switch {
		case !ok || errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
			return nil, s.NoTopic(ctx, name)
		case topic.Err != nil:
			return nil, fmt.Errorf("look up topic %q: %w", name, Refused(topic.Err, ""))
		}
	}
	return m.Topics, nil
}

// NoTopic is the error for a topic that does not exist.
func (s *Session) NoTopic(ctx context.Context, name string) error {
	otherwise := "barnabas topic list shows what exists; barnabas topic create " + name + " makes it"
	m, err := s.Admin.Metadata(ctx)
	if err != nil {
		return NotFoundf(otherwise, "topic %q does not exist", name)
	}
	return NotFoundf(DidYouMean(name, m.Topics.Names(), otherwise), "topic %q does not exist", name)
}

// NoGroup is the error for a group that does not exist.
func (s *Session) NoGroup(ctx context.Context, name string) error {
	var names []string
	if groups, err := s.Admin.ListGroups(ctx); err == nil {
		names = groups.Groups()
	}
	return NotFoundf(DidYouMean(name, names, "barnabas group list shows what exists"), "group %q does not exist", name)
}

// CheckTopicName applies Kafka's rule for names, so that a slip is reported before anything is sent.
func CheckTopicName(name string) error {
	legal := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	switch {
	case name == "" || name == "." || name == "..":
		return Usagef("%q is not a topic name", name)
	case len(name) > 249:
		return Usagef("topic name %q... is longer than 249 characters", name[:32])
	case strings.IndexFunc(name, func(r rune) bool { return !legal(r) }) >= 0:
		return Usagef("%q is not a topic name: letters, digits, '.', '_' and '-' only", name)
	}
	return nil
}

// OnlyPartitions removes from ranges what is not named in list ("0,3,5-7"; empty for all), and fails if a partition does not exist in every topic.
func OnlyPartitions(list string, topics kadm.TopicDetails, ranges Ranges) error {
	if list == "" {
		return nil
	}
	wanted, err := ParsePartitions(list)
	if err != nil {
		return err
	}
	keep := map[int32]bool{}
	for _, p := range wanted {
		keep[p] = true
	}
	for topic, partitions := range ranges {
		for _, p := range wanted {
			if _, ok := topics[topic].Partitions[p]; !ok {
				return NotFoundf(fmt.Sprintf("topic %q has partitions 0 to %d", topic, len(topics[topic].Partitions)-1), "partition %d of topic %q does not exist", p, topic)
			}
		}
		for p := range partitions {
			if !keep[p] {
				delete(partitions, p)
			}
		}
	}
	return nil
}

// TopicID prints a topic's id as Kafka's tools do, "" for a topic without one.
func TopicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}
