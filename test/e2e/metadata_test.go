package e2e

import (
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka answers the Metadata request that creates a topic with an error and lets the client ask again, which some clients report as
// a failure. Here the first answer has a leader.
func TestFirstMetadataOfANewTopicHasALeader(t *testing.T) {
	if os.Getenv("BARNABAS_E2E_SERVER") == "kafka" {
		t.Skip("Kafka answers UNKNOWN_TOPIC_OR_PARTITION first")
	}
	broker := sharedBroker(t)
	request := kmsg.NewPtrMetadataRequest()
	wanted, topic := kmsg.NewMetadataRequestTopic(), topicName(t)
	wanted.Topic = &topic
	request.Topics, request.AllowAutoTopicCreation = append(request.Topics, wanted), true
	response, err := request.RequestWith(testContext(t), referenceClient(t, broker.address))
	if err != nil {
		t.Fatal(err)
	}
	got := response.Topics[0]
	if got.ErrorCode != 0 || len(got.Partitions) != 3 {
		t.Fatalf("error %d, %d partitions; expected none and 3", got.ErrorCode, len(got.Partitions))
	}
	for _, partition := range got.Partitions {
		if partition.ErrorCode != 0 || partition.Leader < 0 {
			t.Errorf("partition %d: error %d, leader %d", partition.Partition, partition.ErrorCode, partition.Leader)
		}
	}
}
