package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barnabas-log/barnabas/internal/history"
)

// heardOf lets a producer hand over six records of one partition, hear lines of chaos.js, and returns what became of them.
func heardOf(t *testing.T, lines ...string) (became []string, p *kafkajsProducer) {
	t.Helper()
	var file, given bytes.Buffer
	crowd := newCrowd(nil, history.NewRecorder(&file), []string{"t"}, 1, 100)
	p = &kafkajsProducer{kafkajs: &kafkajs{crowd: crowd}, number: 7, open: map[history.Partition][]handed{}}
	for range 6 {
		if err := p.send(&given, rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range lines {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		p.hear(l)
	}
	if err := crowd.recorder.Flush(); err != nil {
		t.Fatal(err)
	}
	err := history.Read(&file, func(e history.Event) error {
		if e.Kind != history.Invoked {
			became = append(became, fmt.Sprint(e.ID.Number, " ", e.Kind, " ", e.Offset))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return became, p
}

func TestWhatKafkajsSaysIsAboutTheOldestRecords(t *testing.T) {
	became, p := heardOf(t, `{"ready":true}`, `{"topic":"t","partition":0,"count":2,"base":40}`, `{"topic":"t","partition":0,"count":3,"base":90}`)
	if want := []string{"0 acknowledged 40", "1 acknowledged 41", "2 acknowledged 90", "3 acknowledged 91", "4 acknowledged 92"}; !slices.Equal(became, want) {
		t.Errorf("%q, want %q", became, want)
	}
	if !p.ready || p.unheard != 1 || p.crowd.ackedByKafkajs.Load() != 5 {
		t.Errorf("ready %t, %d not answered, %d acknowledged", p.ready, p.unheard, p.crowd.ackedByKafkajs.Load())
	}
}

func TestWhatKafkajsDoesNotKnowIsNotAcknowledged(t *testing.T) {
	became, p := heardOf(t, `{"topic":"t","partition":0,"count":2,"error":"kafkajs has no answer for this partition"}`, `{"topic":"t","partition":0,"count":1,"base":3}`,
		`{"topic":"t","partition":0,"count":9,"base":4}`)
	if want := []string{"0 unknown 0", "1 unknown 0", "2 acknowledged 3"}; !slices.Equal(became, want) {
		t.Errorf("%q, want %q", became, want)
	}
	if p.ready || p.unheard != 3 {
		t.Errorf("ready %t, %d not answered", p.ready, p.unheard)
	}
}

// A commit that was not confirmed when a later one was may take effect afterwards, and so may one that was under way when the program ended.
func TestWhatKafkajsCommittedWithoutAnAnswerIsUnsettled(t *testing.T) {
	var file bytes.Buffer
	crowd := newCrowd(nil, history.NewRecorder(&file), []string{"t", "u"}, 1, 100)
	m := (&kafkajs{crowd: crowd}).newMember("g")
	batch := func(topic string, last int) string {
		return fmt.Sprintf(`{"topic":%q,"partition":0,"records":[[%d,""]]}`, topic, last)
	}
	for _, text := range []string{batch("t", 9), `{"committed":[{"topic":"t","partition":0,"offset":10}]}`, batch("u", 4), batch("t", 19), batch("t", 29),
		`{"committed":[{"topic":"t","partition":0,"offset":30}]}`, batch("t", 39)} {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		m.heard(l)
	}
	m.unsettled(func(history.Partition, int64) bool { return true })
	if err := crowd.recorder.Flush(); err != nil {
		t.Fatal(err)
	}
	var became []string
	err := history.Read(&file, func(e history.Event) error {
		if e.Kind == history.Committed || e.Kind == history.Unsettled {
			became = append(became, fmt.Sprint(e.Kind, " ", e.Partition, " ", e.Offset))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(became[3:]) // what was left goes partition by partition
	if want := []string{"committed t-0 10", "unsettled t-0 20", "committed t-0 30", "unsettled t-0 40", "unsettled u-0 5"}; !slices.Equal(became, want) {
		t.Errorf("%q, want %q", became, want)
	}
}
