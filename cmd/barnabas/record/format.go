package record

import (
	"bufio"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

const formatHelp = `A template is printed for each record, without a line end of its own:
  %v or %s  value        %S  its length      %k  key         %K  its length
  %t  topic              %p  partition       %o  offset      %e  leader epoch
  %T  timestamp in ms    %D  the same as a date              %h  headers, as a=1,b=2
  %%  a percent sign     \n \r \t \0 \\ \xNN`

// printer prints one record.
type printer func(w *bufio.Writer, r *kgo.Record) error

// printer chooses how records are printed.
func (f consumeFlags) printer(app *cli.App) (printer, error) {
	if app.JSON() {
		if f.format != "" {
			return nil, cli.Usagef("--format and --json exclude each other")
		}
		return printJSON, nil
	}
	format := f.format
	if format == "" {
		separator := strings.ReplaceAll(f.separator, "%", "%%")
		if f.headers {
			format += "%h" + separator
		}
		if f.keys {
			format += "%k" + separator
		}
		format += `%v\n`
	}
	return compile(format, f.null)
}

// compile turns a template into a list of pieces; null stands for null keys and values.
func compile(format, null string) (printer, error) {
	pieces := map[byte]printer{
		't': func(w *bufio.Writer, r *kgo.Record) error { return text(w, r.Topic) },
		'p': func(w *bufio.Writer, r *kgo.Record) error { return number(w, int64(r.Partition)) },
		'o': func(w *bufio.Writer, r *kgo.Record) error { return number(w, r.Offset) },
		'e': func(w *bufio.Writer, r *kgo.Record) error { return number(w, int64(r.LeaderEpoch)) },
		'k': func(w *bufio.Writer, r *kgo.Record) error { return data(w, r.Key, null) },
		'K': func(w *bufio.Writer, r *kgo.Record) error { return length(w, r.Key) },
		'v': func(w *bufio.Writer, r *kgo.Record) error { return data(w, r.Value, null) },
		's': func(w *bufio.Writer, r *kgo.Record) error { return data(w, r.Value, null) },
		'S': func(w *bufio.Writer, r *kgo.Record) error { return length(w, r.Value) },
		'T': func(w *bufio.Writer, r *kgo.Record) error { return number(w, r.Timestamp.UnixMilli()) },
		'D': func(w *bufio.Writer, r *kgo.Record) error { return text(w, cli.Time(r.Timestamp.UnixMilli())) },
		'h': headers,
		'%': func(w *bufio.Writer, _ *kgo.Record) error { return text(w, "%") },
	}
	var list []printer
	for format != "" {
		literal, rest, found := strings.Cut(format, "%")
		if literal != "" {
			plain, err := cli.Unescape(literal)
			if err != nil {
				return nil, err
			}
			list = append(list, func(w *bufio.Writer, _ *kgo.Record) error { return text(w, plain) })
		}
		if !found {
			break
		}
		if rest == "" {
			return nil, cli.Usagef("--format ends in a lone %%: write %%%% for a percent sign")
		}
		piece := pieces[rest[0]]
		if piece == nil {
			return nil, cli.Usagef("--format: %%%c means nothing; use %%v %%k %%o %%p %%t %%T %%D %%h %%e %%S %%K or %%%%", rest[0])
		}
		list, format = append(list, piece), rest[1:]
	}
	return func(w *bufio.Writer, r *kgo.Record) error {
		for _, piece := range list {
			if err := piece(w, r); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func text(w *bufio.Writer, s string) error {
	_, err := w.WriteString(s)
	return err
}

func number(w *bufio.Writer, n int64) error {
	_, err := w.Write(strconv.AppendInt(w.AvailableBuffer(), n, 10))
	return err
}

func data(w *bufio.Writer, b []byte, null string) error {
	if b == nil {
		return text(w, null)
	}
	_, err := w.Write(b)
	return err
}

// length prints the length of a key or value, -1 for null as in Kafka's own encoding.
func length(w *bufio.Writer, b []byte) error {
	if b == nil {
		return number(w, -1)
	}
	return number(w, int64(len(b)))
}

func headers(w *bufio.Writer, r *kgo.Record) error {
	for i, h := range r.Headers {
		separator := ","
		if i == 0 {
			separator = ""
		}
		if err := text(w, separator+h.Key+"="+string(h.Value)); err != nil {
			return err
		}
	}
	return nil
}

// recordJSON is one record as JSON. Bytes that are UTF-8 are given as a string, others as base64 under a name that says so; null stays null.
type recordJSON struct {
	Topic         string       `json:"topic"`
	Partition     int32        `json:"partition"`
	Offset        int64        `json:"offset"`
	LeaderEpoch   int32        `json:"leaderEpoch"`
	Timestamp     int64        `json:"timestamp"`
	Time          string       `json:"time"`
	TimestampType string       `json:"timestampType"`
	Key           *string      `json:"key"`
	KeyBase64     string       `json:"keyBase64,omitempty"`
	Value         *string      `json:"value"`
	ValueBase64   string       `json:"valueBase64,omitempty"`
	Headers       []headerJSON `json:"headers"`
}

type headerJSON struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"valueBase64,omitempty"`
}

func printJSON(w *bufio.Writer, r *kgo.Record) error {
	out := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch,
		Timestamp: r.Timestamp.UnixMilli(), Time: cli.Time(r.Timestamp.UnixMilli()), TimestampType: "CreateTime", Headers: []headerJSON{}}
	if r.Attrs.TimestampType() == 1 {
		out.TimestampType = "LogAppendTime"
	}
	out.Key, out.KeyBase64 = cli.Text(r.Key)
	out.Value, out.ValueBase64 = cli.Text(r.Value)
	for _, h := range r.Headers {
		value, encoded := cli.Text(h.Value)
		out.Headers = append(out.Headers, headerJSON{h.Key, value, encoded})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
