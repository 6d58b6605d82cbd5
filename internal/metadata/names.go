package metadata

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ValidateTopicName checks a name as Kafka does: 1 to 249 characters of [a-zA-Z0-9._-], and not "." or "..".
// The error is INVALID_TOPIC_EXCEPTION.
func ValidateTopicName(name string) error {
	switch {
	case name == "":
		return refuse(CodeInvalidTopic, "Topic name is invalid: the empty string is not allowed")
	case name == "." || name == "..":
		return refuse(CodeInvalidTopic, "Topic name is invalid: '%s' is not allowed", name)
	case len(name) > maxTopicNameLength:
		return refuse(CodeInvalidTopic, "Topic name is invalid: the length of '%s' is longer than the max allowed length %d", clip(name), maxTopicNameLength)
	}
	for i := range len(name) {
		if !topicNameByte(name[i]) {
			return refuse(CodeInvalidTopic, "Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
				strings.ToValidUTF8(name, "?"))
		}
	}
	return nil
}

func topicNameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}

// clip keeps a name that a client made absurdly long out of the reply.
func clip(name string) string {
	if len(name) <= maxTopicNameLength {
		return name
	}
	return strings.ToValidUTF8(name[:maxTopicNameLength], "?") + "..."
}

// mergedName folds '.' to '_': two topics with the same merged name would collide in metric names, which Kafka forbids.
func mergedName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// parseBrokerName reads the resource name of a broker configuration: "" is the cluster-wide default.
func parseBrokerName(name string) (int32, error) {
	if name == "" {
		return DefaultBroker, nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return 0, refuse(CodeInvalidRequest, "Unable to parse broker name as a base 10 number.")
	}
	if id < 0 {
		return 0, refuse(CodeInvalidRequest, "Invalid negative broker ID.")
	}
	return int32(id), nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r ConfigResource) String() string { return fmt.Sprintf("%s %q", r.Type, r.Name) }

func (t ConfigType) String() string {
	switch t {
	case TopicConfig:
		return "topic"
	case BrokerConfig:
		return "broker"
	case BrokerLoggerConfig:
		return "broker logger"
	case ClientMetricsConfig:
		return "client metrics"
	case GroupConfig:
		return "group"
	}
	return fmt.Sprintf("resource type %d", int8(t))
}

func brokerName(id int32) string { return strconv.FormatInt(int64(id), 10) }
