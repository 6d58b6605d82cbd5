package log

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	segments "github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

// sequenceAfter is the producer's number n records after base; numbers wrap from 2^31-1 to 0.
func sequenceAfter(base, n int32) int32 {
	if base < 0 {
		return base
	}
	return int32((int64(base) + int64(n)) % (math.MaxInt32 + 1))
}

func timestampType(h segments.Header) string {
	if h.LogAppendTime() {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// writeBatch prints a batch as Kafka's DumpLogSegments does, with the Raft index behind where one is known.
func writeBatch(w io.Writer, b segments.InspectedBatch) error {
	h := b.Header()
	index := ""
	if b.Index > 0 {
		index = fmt.Sprintf(" index: %d", b.Index)
	}
	_, err := fmt.Fprintf(w, "baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d "+
		"partitionLeaderEpoch: %d isTransactional: %t isControl: %t position: %d %s: %d size: %d magic: %d compresscodec: %s crc: %d isvalid: true%s\n",
		h.BaseOffset(), h.LastOffset(), h.Count(), h.BaseSequence(), sequenceAfter(h.BaseSequence(), h.LastOffsetDelta()), h.ProducerID(), h.ProducerEpoch(),
		h.LeaderEpoch(), h.Transactional(), h.Control(), b.Position, timestampType(h), h.MaxTimestamp(), h.Size(), h.Magic(), record.Codec(h.Codec()), h.CRC(), index)
	return err
}

// writeRecords prints the records of a batch.
func writeRecords(w *bufio.Writer, b segments.InspectedBatch) error {
	h := b.Header()
	err := record.Each(b.Data, expansion, func(r record.Record) error {
		var keys []string
		for _, header := range r.Headers {
			keys = append(keys, header.Key)
		}
		fmt.Fprintf(w, "| offset: %d %s: %d keySize: %d valueSize: %d sequence: %d headerKeys: [%s]", r.Offset, timestampType(h), r.Timestamp,
			sizeOf(r.Key), sizeOf(r.Value), sequenceAfter(h.BaseSequence(), int32(r.Offset-int64(h.BaseOffset()))), strings.Join(keys, ","))
		if h.Control() {
			fmt.Fprintf(w, " %s", marker(r))
		} else {
			if r.Key != nil {
				fmt.Fprintf(w, " key: %s", printable(r.Key))
			}
			if r.Value != nil {
				fmt.Fprintf(w, " payload: %s", printable(r.Value))
			}
		}
		_, err := w.WriteString("\n")
		return err
	})
	if err != nil {
		return fmt.Errorf("records of the batch at %s:%d: %w", b.File, b.Position, err)
	}
	return nil
}

func sizeOf(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

// marker prints what ends a transaction: key (version, type), value (version, coordinator epoch).
func marker(r record.Record) string {
	if len(r.Key) < 4 || len(r.Value) < 6 {
		return "controlType: UNKNOWN"
	}
	kind := map[uint16]string{0: "ABORT", 1: "COMMIT"}[binary.BigEndian.Uint16(r.Key[2:])]
	if kind == "" {
		return fmt.Sprintf("controlType: %d", binary.BigEndian.Uint16(r.Key[2:]))
	}
	return fmt.Sprintf("endTxnMarker: %s coordinatorEpoch: %d", kind, int32(binary.BigEndian.Uint32(r.Value[2:])))
}

// printable leaves text as it is and quotes what would upset a terminal.
func printable(b []byte) string {
	s := string(b)
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

// batchJSON is one line of JSON output for a batch.
type batchJSON struct {
	Directory     string       `json:"directory"`
	File          string       `json:"file"`
	Position      int64        `json:"position"`
	Index         uint64       `json:"index,omitempty"`
	BaseOffset    int64        `json:"baseOffset"`
	LastOffset    int64        `json:"lastOffset"`
	Count         int32        `json:"count"`
	BaseSequence  int32        `json:"baseSequence"`
	ProducerID    int64        `json:"producerId"`
	ProducerEpoch int16        `json:"producerEpoch"`
	LeaderEpoch   int32        `json:"leaderEpoch"`
	Transactional bool         `json:"transactional"`
	Control       bool         `json:"control"`
	TimestampType string       `json:"timestampType"`
	MaxTimestamp  int64        `json:"maxTimestamp"`
	MaxTime       string       `json:"maxTime"`
	Size          int          `json:"size"`
	Codec         string       `json:"codec"`
	CRC           uint32       `json:"crc"`
	Records       []recordJSON `json:"records,omitempty"`
}

type recordJSON struct {
	Offset      int64        `json:"offset"`
	Timestamp   int64        `json:"timestamp"`
	Time        string       `json:"time"`
	Key         *string      `json:"key"`
	KeyBase64   string       `json:"keyBase64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 string       `json:"valueBase64,omitempty"`
	Headers     []headerJSON `json:"headers"`
}

type headerJSON struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"valueBase64,omitempty"`
}

// entryJSON is one line of JSON output for an entry of ctl.
type entryJSON struct {
	Directory  string `json:"directory"`
	File       string `json:"file"`
	Position   int64  `json:"position"`
	Kind       string `json:"kind"`
	Index      uint64 `json:"index"`
	Term       uint64 `json:"term"`
	NextOffset int64  `json:"nextOffset"`
	Size       int    `json:"size"`
}

func (d *dumper) batchJSON(b segments.InspectedBatch) error {
	h := b.Header()
	out := batchJSON{Directory: d.dir, File: b.File, Position: b.Position, Index: uint64(b.Index), BaseOffset: int64(h.BaseOffset()), LastOffset: int64(h.LastOffset()),
		Count: h.Count(), BaseSequence: h.BaseSequence(), ProducerID: h.ProducerID(), ProducerEpoch: h.ProducerEpoch(), LeaderEpoch: h.LeaderEpoch(),
		Transactional: h.Transactional(), Control: h.Control(), TimestampType: timestampType(h), MaxTimestamp: h.MaxTimestamp(), MaxTime: cli.Time(h.MaxTimestamp()),
		Size: h.Size(), Codec: record.Codec(h.Codec()).String(), CRC: h.CRC()}
	if d.flags.records {
		err := record.Each(b.Data, expansion, func(r record.Record) error {
			line := recordJSON{Offset: r.Offset, Timestamp: r.Timestamp, Time: cli.Time(r.Timestamp), Headers: []headerJSON{}}
			line.Key, line.KeyBase64 = cli.Text(r.Key)
			line.Value, line.ValueBase64 = cli.Text(r.Value)
			for _, header := range r.Headers {
				value, encoded := cli.Text(header.Value)
				line.Headers = append(line.Headers, headerJSON{header.Key, value, encoded})
			}
			out.Records = append(out.Records, line)
			return nil
		})
		if err != nil {
			return fmt.Errorf("records of the batch at %s:%d: %w", b.File, b.Position, err)
		}
	}
	return encode(d.out, out)
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
