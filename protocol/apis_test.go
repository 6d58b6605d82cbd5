package protocol

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// emptyGroups is a coordinator without a group.
type emptyGroups struct{}

func (emptyGroups) Join(context.Context, consumergroup.JoinRequest) consumergroup.JoinResponse {
	return consumergroup.JoinResponse{}
}

func (emptyGroups) Sync(context.Context, consumergroup.SyncRequest) consumergroup.SyncResponse {
	return consumergroup.SyncResponse{}
}
func (emptyGroups) Heartbeat(context.Context, consumergroup.HeartbeatRequest) int16 { return 0 }

func (emptyGroups) Leave(_ context.Context, r consumergroup.LeaveRequest) consumergroup.LeaveResponse {
	return consumergroup.LeaveResponse{Members: make([]int16, len(r.Members))}
}

func (emptyGroups) Commit(_ context.Context, r consumergroup.CommitRequest) []int16 {
	return make([]int16, len(r.Offsets))
}

func (emptyGroups) Fetch(context.Context, consumergroup.FetchRequest) ([]consumergroup.FetchedOffset, int16) {
	return nil, 0
}

func (emptyGroups) Describe(_ context.Context, group string) consumergroup.Described {
	return consumergroup.Described{Group: group, Code: codeGroupIDNotFound}
}
func (emptyGroups) List(context.Context) ([]consumergroup.Listed, int16) { return nil, 0 }
func (emptyGroups) Delete(context.Context, string) int16                 { return 0 }

func (emptyGroups) DeleteOffsets(_ context.Context, _ string, partitions []consumergroup.TopicPartition) ([]int16, int16) {
	return make([]int16, len(partitions)), 0
}
func (emptyGroups) PartitionFor(string) int32 { return 0 }

// The table is in order, and each row has one handler and versions that kmsg can decode.
func TestTheTableIsConsistent(t *testing.T) {
	if !slices.IsSortedFunc(apis, func(a, b api) int { return int(a.key) - int(b.key) }) || len(byKey(apis)) != len(apis) {
		t.Error("the rows are not in the order of their keys, or a key comes twice")
	}
	for _, row := range apis {
		req := kmsg.RequestForKey(row.key)
		if (row.handle == nil) == (row.begin == nil) {
			t.Errorf("%s has no handler, or two", kmsg.NameForKey(row.key))
		}
		if row.min < 0 || row.min > row.max || row.max > req.MaxVersion() {
			t.Errorf("%s: versions %d to %d, kmsg knows up to %d", kmsg.NameForKey(row.key), row.min, row.max, req.MaxVersion())
		}
	}
}

// No transactions, so no API of the family: clients find out before they try.
func TestTransactionsAreNotAdvertised(t *testing.T) {
	for _, key := range []int16{24, 25, 26, 28} {
		if byKey(apis)[key] != nil {
			t.Errorf("%s is in the table", kmsg.NameForKey(key))
		}
	}
}

// Every version of every API gets a reply that decodes to its last byte, to the plainest request there is and to one with a topic in it.
func TestEveryVersionOfEveryAPIIsAnswered(t *testing.T) {
	s := serve(t, Options{AutoCreate: true})
	s.create("t", 1, partition.Config{})
	for _, row := range apis {
		for version := row.min; version <= row.max; version++ {
			c := dial(t, s)
			req := kmsg.RequestForKey(row.key)
			req.SetVersion(version)
			setDefault(reflect.ValueOf(req))
			if r, ok := req.(*kmsg.ApiVersionsRequest); ok {
				r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1"
			}
			if r, ok := req.(*kmsg.ProduceRequest); ok {
				r.Acks = -1
			}
			c.ask(req)
			fillTopics(reflect.ValueOf(req).Elem(), s.Image().Topics["t"].ID)
			c.ask(req)
			c.Close()
		}
	}
}

// fillTopics puts one element into each array of a message, and the topic t wherever a topic is named.
func fillTopics(v reflect.Value, id [16]byte) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case name == "Topic" && f.Kind() == reflect.String:
			f.SetString("t")
		case name == "Topic" && f.Kind() == reflect.Pointer:
			topic := "t"
			f.Set(reflect.ValueOf(&topic))
		case name == "TopicID":
			f.Set(reflect.ValueOf(id))
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() != reflect.Uint8:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			setDefault(f.Index(0).Addr())
			if f.Index(0).Kind() == reflect.Struct {
				fillTopics(f.Index(0), id)
			}
		}
	}
}
