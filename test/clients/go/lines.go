package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// record is one line of input or output; encoding/json writes bytes as base64 and nil as null.
type record struct {
	Partition *int     `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp *int64   `json:"timestamp"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
}

// header is one pair [key, value].
type header struct {
	Key   string
	Value []byte
}

func (h header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Key, h.Value}) }

func (h *header) UnmarshalJSON(data []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &h.Key); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &h.Value)
}

func (r record) time() time.Time {
	if r.Timestamp == nil {
		return time.Time{}
	}
	return time.UnixMilli(*r.Timestamp)
}

type (
	errorLine struct {
		Error string `json:"error"`
		Code  *int   `json:"code"`
	}
	ackLine struct {
		Acked int `json:"acked"`
	}
	assignedLine struct {
		Assigned []int32 `json:"assigned"`
	}
)

var output sync.Mutex

// emit prints a line; any goroutine may call it.
func emit(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	_, _ = os.Stdout.Write(append(text, '\n'))
}

func emitRecord(partition int, offset int64, at time.Time, key, value []byte, headers []header) {
	milliseconds := at.UnixMilli()
	if headers == nil {
		headers = []header{}
	}
	emit(record{Partition: &partition, Offset: offset, Timestamp: &milliseconds, Key: key, Value: value, Headers: headers})
}

func readRecords(input io.Reader) <-chan record {
	records := make(chan record, 1000)
	go func() {
		defer close(records)
		for decoder := json.NewDecoder(bufio.NewReaderSize(input, 1<<20)); ; {
			var next record
			if err := decoder.Decode(&next); err == io.EOF {
				return
			} else if err != nil {
				fmt.Fprintln(os.Stderr, "read record:", err)
				os.Exit(2)
			}
			records <- next
		}
	}()
	return records
}

// closed returns a channel that is closed when the input ends: how a group member is asked to leave.
func closed(input io.Reader) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, input)
	}()
	return end
}

// settings is what the command line says.
type settings struct {
	brokers []string
	topic   string
	options map[string]string
}

func parseSettings(brokers, topic string, arguments []string) settings {
	options := map[string]string{}
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		options[name] = value
	}
	return settings{brokers: strings.Split(brokers, ","), topic: topic, options: options}
}

func (s settings) text(name, otherwise string) string {
	if value, set := s.options[name]; set {
		return value
	}
	return otherwise
}

func (s settings) number(name string, otherwise int) int {
	number, err := strconv.Atoi(s.options[name])
	if err != nil {
		return otherwise
	}
	return number
}

func (s settings) idempotent() bool { return s.options["idempotent"] == "true" }

func (s settings) timeout() time.Duration {
	return time.Duration(s.number("timeout", 60000)) * time.Millisecond
}

// position is where reading starts: "start", "end", "offset" or "time", and the number of the last two.
type position struct {
	kind   string
	number int64
}

func (s settings) position() position {
	kind, text, _ := strings.Cut(s.text("from", "start"), ":")
	number, _ := strconv.ParseInt(text, 10, 64)
	return position{kind, number}
}
