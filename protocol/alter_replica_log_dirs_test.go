package protocol

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAlterReplicaLogDirsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	s.logDirs = []LogDir{{Path: "/one"}, {Path: "/broken", Err: errors.New("gone")}}
	var name string
	for each := range s.Image().Topics {
		name = each
	}
	if name == "" {
		created := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", 2, 1
		created.Topics = append(created.Topics, topic)
		created.SetVersion(7)
		s.dial().ask(created)
		name = "t"
	}
	c := s.dial()
	for version := int16(1); version <= 2; version++ {
		s.moved = nil
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.SetVersion(version)
		for _, dir := range []string{"/one", "/broken", "/none"} {
			to := kmsg.NewAlterReplicaLogDirsRequestDir()
			to.Dir = dir
			to.Topics = []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: name, Partitions: []int32{0, 99}}, {Topic: "unknown", Partitions: []int32{0}}}
			req.Dirs = append(req.Dirs, to)
		}
		resp := c.ask(req).(*kmsg.AlterReplicaLogDirsResponse)
		got := ""
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				got += fmt.Sprint(topic.Topic == name, " ", p.Partition, ":", p.ErrorCode, ", ")
			}
		}
		want := "true 0:0, true 99:3, true 0:56, true 99:3, true 0:57, true 99:3, false 0:3, false 0:3, false 0:3, "
		if got != want || len(resp.Topics) != 2 || fmt.Sprint(s.moved) != fmt.Sprintf("[%s 0 /one]", name) {
			t.Errorf("version %d: %s\nmoved %q", version, got, s.moved)
		}
	}
}
