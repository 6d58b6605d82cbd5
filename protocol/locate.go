package protocol

import (
	"strings"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
)

// topicNamed and topicWithID find a topic in an image; the code says why there is none.
func topicNamed(image *metadata.Image, name string) (*metadata.Topic, int16) {
	if t := image.Topics[name]; t != nil {
		return t, codeNone
	}
	return nil, codeUnknownTopicOrPartition
}

func topicWithID(image *metadata.Image, id metadata.TopicID) (*metadata.Topic, int16) {
	if t := image.ByID[id]; t != nil {
		return t, codeNone
	}
	return nil, codeUnknownTopicID
}

// topicFor finds a topic by id when byID, else by name.
func topicFor(image *metadata.Image, byID bool, name string, id metadata.TopicID) (*metadata.Topic, int16) {
	if byID {
		return topicWithID(image, id)
	}
	return topicNamed(image, name)
}

// partitionOf finds a partition that this node hosts. A partition that exists elsewhere is NOT_LEADER_OR_FOLLOWER: the client's metadata is old. One that nobody leads, and whose replica
// here cannot be opened, is KAFKA_STORAGE_ERROR.
func (s *Server) partitionOf(t *metadata.Topic, number int32) (*partition.Partition, int16) {
	if number < 0 || int(number) >= len(t.Partitions) {
		return nil, codeUnknownTopicOrPartition
	}
	if p := s.backend.Partition(t.ID, number); p != nil {
		return p, codeNone
	}
	if s.backend.Offline(t.ID, number) {
		if leader, _ := s.backend.Leader(t.ID, number); leader < 0 {
			return nil, codeKafkaStorageError
		}
	}
	return nil, codeNotLeaderOrFollower
}

// nextPosition is where in its file the next batch of a partition that this node hosts will probably begin; -1 where that is not known.
func (s *Server) nextPosition(topic []byte, id [16]byte, number int32) int64 {
	if t, code := topicFor(s.backend.Image(), len(topic) == 0, string(topic), id); code == codeNone {
		if p, code := s.partitionOf(t, number); code == codeNone {
			return p.NextPosition()
		}
	}
	return -1
}

// hosted finds a partition by the topic's name.
func (s *Server) hosted(image *metadata.Image, topic string, number int32) (*partition.Partition, int16) {
	t, code := topicNamed(image, topic)
	if code != codeNone {
		return nil, code
	}
	return s.partitionOf(t, number)
}

// address is where the clients of a listener reach a broker; false when it has no such listener.
func address(b *metadata.Broker, listener string) (host string, port int32, ok bool) {
	for _, l := range b.Listeners {
		if strings.EqualFold(l.Name, listener) {
			return l.Host, l.Port, true
		}
	}
	return "", -1, false
}

// rack is a broker's rack as replies carry it: null when none is set.
func rack(b *metadata.Broker) *string {
	if b.Rack == "" {
		return nil
	}
	return &b.Rack
}
