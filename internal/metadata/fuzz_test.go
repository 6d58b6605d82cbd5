package metadata

import (
	"errors"
	"reflect"
	"testing"
)

// Properties: no panic; an error is one of the two kinds; what was decoded survives encoding; applying it leaves an image that can be saved and restored.
func FuzzCommand(f *testing.F) {
	value := "v"
	for _, c := range []Command{
		CreateTopics{Topics: []*Topic{{Name: "a", ID: TopicID{1}, Partitions: []Partition{{Replicas: []int32{1, 2}}}, Config: map[string]string{"k": "v"}}}},
		DeleteTopic{Name: "t", ID: TopicID{9}},
		CreatePartitions{Topic: "t", ID: TopicID{9}, From: 1, Added: []Partition{{Replicas: []int32{1}}}},
		AlterConfig{Type: TopicConfig, Name: "t", Changes: map[string]*string{"a": &value, "b": nil}, Expect: map[string]*string{"c": nil}},
		AlterConfig{Type: BrokerConfig, Replace: true},
		RegisterBroker{Broker: broker(3, "r")},
		UnregisterBroker{ID: 1},
		FenceBroker{ID: 1, Fenced: true},
		AllocateProducerIDs{Count: 1000},
		SetClusterID{ID: "x"},
	} {
		data, err := EncodeCommand(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"kind":"create-topics","body":{"topics":[null]}}`))
	f.Add([]byte(`{"kind":"delete-topic","version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCommand(data)
		if err == nil {
			again, err := EncodeCommand(c)
			if err != nil {
				t.Fatal(err)
			}
			if c2, err := DecodeCommand(again); err != nil || !reflect.DeepEqual(c, c2) {
				t.Fatalf("%v\n%+v\n%+v", err, c, c2)
			}
		} else if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		s := NewState(nil)
		for i, c := range []Command{RegisterBroker{Broker: broker(1, "")}, RegisterBroker{Broker: broker(2, "")},
			CreateTopics{Topics: []*Topic{{Name: "t", ID: TopicID{9}, Partitions: []Partition{{Replicas: []int32{1}}}}}}} {
			s.Apply(uint64(i+1), mustEncode(t, c))
		}
		s.Apply(4, data)
		saved, err := EncodeImage(s.Image())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeImage(saved); err != nil {
			t.Fatalf("%v: %s", err, saved)
		}
	})
}

// Properties: no panic; an error is one of the two kinds; what was restored is what is saved again.
func FuzzSnapshot(f *testing.F) {
	image := NewImage()
	image.putTopic(&Topic{Name: "t", ID: TopicID{9}, Partitions: []Partition{{Replicas: []int32{1}}}, Config: map[string]string{"k": "v"}})
	b := broker(1, "r")
	image.Brokers[1], image.BrokerConfig[DefaultBroker], image.GroupConfig["g"] = &b, map[string]string{"a": "b"}, map[string]string{"c": "d"}
	data, err := EncodeImage(image)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"topics":[null],"brokers":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := DecodeImage(data)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		saved, err := EncodeImage(image)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeImage(saved)
		if err != nil {
			t.Fatalf("%v: %s", err, saved)
		}
		if twice, err := EncodeImage(again); err != nil || string(twice) != string(saved) {
			t.Fatalf("%v\n%s\n%s", err, saved, twice)
		}
	})
}
