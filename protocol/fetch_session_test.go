package protocol

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// story tells a story of fetches to a server, and writes down its replies.
type story struct {
	t     *testing.T
	s     *served
	c     *raw
	now   time.Time
	mu    sync.Mutex
	ids   map[string]int32 // s1 and so on
	names map[int32]string
	byID  bool
}

func TestFetchSessions(t *testing.T) {
	for name, byID := range map[string]bool{"by name": false, "by id": true} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{MaxFetchSessions: 3})
			s.create("a", 2, partition.Config{})
			s.create("b", 1, partition.Config{})
			st := &story{t: t, s: s, c: dial(t, s), now: time.Unix(1e9, 0), ids: map[string]int32{}, names: map[int32]string{}, byID: byID}
			s.server.sessions.now = func() time.Time {
				st.mu.Lock()
				defer st.mu.Unlock()
				return st.now
			}
			st.tell("testdata/fetch_sessions.txt")
		})
	}
}

func (st *story) tell(file string) {
	f, err := os.Open(file)
	if err != nil {
		st.t.Fatal(err)
	}
	defer f.Close()
	last, number := "", 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if want, ok := strings.CutPrefix(line, "-> "); ok {
			if last != want {
				st.t.Fatalf("%s:%d: got %q, want %q", file, number, last, want)
			}
			continue
		}
		last = st.step(strings.Fields(line))
	}
}

func (st *story) step(words []string) string {
	switch words[0] {
	case "after":
		seconds, _ := strconv.Atoi(words[1])
		st.mu.Lock()
		defer st.mu.Unlock()
		st.now = st.now.Add(time.Duration(seconds) * time.Second)
	case "produce":
		topic, number, _ := st.place(words[1])
		n, _ := strconv.Atoi(words[2])
		dial(st.t, st.s).produced(produceTo(topic, number, 9, -1, batch(n)))
	case "fetch":
		return st.fetch(words[1:])
	default:
		st.t.Fatalf("what is %q?", words[0])
	}
	return ""
}

// place reads topic/partition@offset.
func (st *story) place(word string) (topic string, number int32, offset int64) {
	word, at, _ := strings.Cut(word, "@")
	topic, part, _ := strings.Cut(word, "/")
	n, _ := strconv.Atoi(part)
	offset, _ = strconv.ParseInt(at, 10, 64)
	return topic, int32(n), offset
}

func (st *story) fetch(words []string) string {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(12)
	if st.byID {
		req.SetVersion(13)
	}
	req.MaxBytes = 1 << 20
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "id":
			id, err := strconv.Atoi(value)
			if req.SessionID = int32(id); err != nil {
				req.SessionID = st.ids[value]
			}
		case "epoch":
			epoch, _ := strconv.Atoi(value)
			req.SessionEpoch = int32(epoch)
		case "forget":
			topic, number, _ := st.place(value)
			forgotten := kmsg.NewFetchRequestForgottenTopic()
			forgotten.Topic, forgotten.TopicID, forgotten.Partitions = topic, st.id(topic), []int32{number}
			req.ForgottenTopics = append(req.ForgottenTopics, forgotten)
		default:
			topic, number, offset := st.place(word)
			in := fetchFrom(topic, number, 12, offset).Topics[0]
			in.TopicID = st.id(topic)
			req.Topics = append(req.Topics, in)
		}
	}
	return st.reply(st.c.ask(req).(*kmsg.FetchResponse))
}

// id is a topic's id; an unknown topic has an unknown one.
func (st *story) id(topic string) [16]byte {
	if t := st.s.Image().Topics[topic]; t != nil {
		return t.ID
	}
	return [16]byte{'?', topic[0]}
}

func (st *story) topic(t *kmsg.FetchResponseTopic) string {
	if !st.byID {
		return t.Topic
	}
	if known := st.s.Image().ByID[t.TopicID]; known != nil {
		return known.Name
	}
	return string(t.TopicID[1:2])
}

func (st *story) reply(resp *kmsg.FetchResponse) string {
	switch resp.ErrorCode {
	case codeNone:
	case codeFetchSessionIDNotFound:
		return "error FETCH_SESSION_ID_NOT_FOUND"
	case codeInvalidFetchSessionEpoch:
		return "error INVALID_FETCH_SESSION_EPOCH"
	default:
		return fmt.Sprintf("error %d", resp.ErrorCode)
	}
	if resp.SessionID != 0 && st.names[resp.SessionID] == "" {
		name := fmt.Sprintf("s%d", len(st.names)+1)
		st.names[resp.SessionID], st.ids[name] = name, resp.SessionID
	}
	name := "0"
	if resp.SessionID != 0 {
		name = st.names[resp.SessionID]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "session %s:", name)
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			fmt.Fprintf(&b, " %s/%d", st.topic(&resp.Topics[i]), p.Partition)
			switch {
			case p.ErrorCode == codeUnknownTopicID: // the story says what it is by name
				b.WriteString(" code=3")
			case p.ErrorCode != codeNone:
				fmt.Fprintf(&b, " code=%d", p.ErrorCode)
			default:
				fmt.Fprintf(&b, " hw=%d", p.HighWatermark)
			}
			if n := countRecords(p.RecordBatches); n > 0 {
				fmt.Fprintf(&b, " records=%d", n)
			}
		}
	}
	return b.String()
}

// countRecords counts the records of batches.
func countRecords(b []byte) (n int) {
	for len(b) > 0 {
		size := 12 + int(uint32(b[8])<<24|uint32(b[9])<<16|uint32(b[10])<<8|uint32(b[11]))
		_ = record.Each(b[:size], 1<<20, func(record.Record) error { n++; return nil })
		b = b[size:]
	}
	return n
}

// A session of names cannot be used with ids.
func TestASessionKeepsToNamesOrIDs(t *testing.T) {
	s := serve(t, Options{})
	s.create("a", 1, partition.Config{})
	c := dial(t, s)
	req := fetchFrom("a", 0, 12, 0)
	req.SessionEpoch = 0
	id := c.ask(req).(*kmsg.FetchResponse).SessionID
	next := kmsg.NewPtrFetchRequest()
	next.SetVersion(13)
	next.SessionID, next.SessionEpoch = id, 1
	if resp := c.ask(next).(*kmsg.FetchResponse); resp.ErrorCode != codeFetchSessionTopicIDError {
		t.Errorf("code %d", resp.ErrorCode)
	}
}

func TestSessionEpochsWrapPastZero(t *testing.T) {
	if e := nextEpoch(1<<31 - 1); e != 1 {
		t.Errorf("the epoch after the last is %d", e)
	}
}
