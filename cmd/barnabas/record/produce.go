package record

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// deliveryTimeout is how long produce waits without any progress, unless --timeout says otherwise.
const deliveryTimeout = 2 * time.Minute

type produceFlags struct {
	files       []string
	whole       bool
	key         string
	fixedKey    string
	headers     []string
	partition   int32
	acks        string
	idempotent  bool
	compression string
	tombstones  bool
	create      bool
	timestamp   string
	quiet       bool
}

// ProduceCommand is `barnabas produce`.
func ProduceCommand(app *cli.App) *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write lines to a topic",
		Long: `Write records to a topic, one from each line of standard input or of a file. A line ends at a line feed and is
written byte for byte; an empty line is an empty value. Records with the same key go to the same partition, chosen as Kafka's
own producer does. The count at the end is of what the cluster acknowledged; if a single record failed, the exit code is 1.`,
		Example: `  echo 'hello' | barnabas produce orders
  barnabas produce orders -f events.jsonl --compression zstd
  printf 'k1:v1\nk2:v2\n' | barnabas produce orders -k :
  echo 'user-17:' | barnabas produce users -k : -Z          # a tombstone for user-17
  barnabas produce images -f cat.png --whole -H type=image/png
  seq 1000 | barnabas produce numbers --partition 3 --acks 1`,
		Args:              cli.Args(1, 1),
		ValidArgsFunction: cli.CompleteTopics(app, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			idempotentSet := cmd.Flags().Changed("idempotent")
			return produce(cmd.Context(), app, f, idempotentSet, args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.files, "file", "f", nil, "read this `file` instead of standard input; may be repeated, - is standard input")
	fs.BoolVar(&f.whole, "whole", false, "each file is one record, not one record a line")
	fs.StringVarP(&f.key, "key-separator", "k", "", "what separates key and value in a line, e.g. : or '\\t'")
	fs.StringVar(&f.fixedKey, "key", "", "the key of every record")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "header `name=value` of every record; may be repeated")
	fs.Int32VarP(&f.partition, "partition", "p", -1, "write to this partition; -1 chooses by key")
	fs.StringVar(&f.acks, "acks", "all", "when a record counts as written: all, 1 (leader only) or 0 (not waited for)")
	fs.BoolVar(&f.idempotent, "idempotent", true, "never write a record twice when a request is repeated (needs --acks all)")
	fs.StringVar(&f.compression, "compression", "none", "none, gzip, snappy, lz4 or zstd")
	fs.BoolVarP(&f.tombstones, "tombstones", "Z", false, "write empty values (and keys) as null: deletes the key in a compacted topic")
	fs.BoolVar(&f.create, "create", false, "let the broker create the topic if it does not exist")
	fs.StringVar(&f.timestamp, "timestamp", "", "`time` of every record: 2026-01-31T08:30:00Z or @milliseconds (default now)")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no summary at the end")
	return cmd
}

// template is what every record of a run has in common.
type template struct {
	separator  []byte
	key        []byte
	headers    []kgo.RecordHeader
	partition  int32
	timestamp  time.Time
	tombstones bool
}

func (f produceFlags) template(app *cli.App) (template, error) {
	t := template{partition: f.partition, tombstones: f.tombstones}
	separator, err := cli.Unescape(f.key)
	if err != nil {
		return t, err
	}
	t.separator = []byte(separator)
	if f.fixedKey != "" {
		if f.key != "" {
			return t, cli.Usagef("--key and --key-separator exclude each other")
		}
		t.key = []byte(f.fixedKey)
	}
	if f.whole && (f.key != "" || len(f.files) == 0) {
		return t, cli.Usagef("--whole needs --file and excludes --key-separator: use --key")
	}
	for _, h := range f.headers {
		name, value, err := cli.Pair(h)
		if err != nil {
			return t, err
		}
		t.headers = append(t.headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if f.timestamp != "" {
		position, err := cli.ParsePosition(f.timestamp, app.Now())
		if err != nil {
			return t, err
		}
		ms, ok := position.Milliseconds()
		if !ok {
			return t, cli.Usagef("--timestamp %q is not a time: write 2026-01-31T08:30:00Z or @milliseconds", f.timestamp)
		}
		t.timestamp = time.UnixMilli(ms)
	}
	return t, nil
}

// options turns flags into client options.
func (f produceFlags) options(idempotentSet bool) ([]kgo.Opt, error) {
	var opts []kgo.Opt
	switch f.acks {
	case "all", "-1":
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1", "0":
		if f.idempotent && idempotentSet {
			return nil, cli.Usagef("--idempotent needs --acks all")
		}
		f.idempotent = false
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
		if f.acks == "0" {
			opts[0] = kgo.RequiredAcks(kgo.NoAck())
		}
	default:
		return nil, cli.Usagef("--acks %q is none of all, 1, 0", f.acks)
	}
	if f.idempotent {
		opts = append(opts, kgo.AllowIdempotentProduceCancellation())
	} else {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[f.compression]
	if !ok {
		return nil, cli.Usagef("--compression %q is none of none, gzip, snappy, lz4, zstd", f.compression)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	switch {
	case f.partition < -1:
		return nil, cli.Usagef("--partition %d: partitions count from 0", f.partition)
	case f.partition >= 0:
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if f.create {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	return opts, nil
}

func produce(ctx context.Context, app *cli.App, f produceFlags, idempotentSet bool, topic string) error {
	if err := cli.CheckTopicName(topic); err != nil {
		return err
	}
	t, err := f.template(app)
	if err != nil {
		return err
	}
	opts, err := f.options(idempotentSet)
	if err != nil {
		return err
	}
	inputs, err := openInputs(app, f.files)
	if err != nil {
		return err
	}
	defer inputs.close()
	stalled, set := app.Timeout()
	if !set {
		stalled = deliveryTimeout
	}
	limit := int32(1048588) // max.message.bytes by default; the topic's own is looked up below, before the first record
	opts = append(opts, kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(100_000),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return limit }))
	session, err := app.Connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer session.Close()
	if limit, err = lookUp(ctx, app, session, f, topic, limit); err != nil {
		return err
	}
	p := &producer{app: app, client: session.Client, template: t, topic: topic, limit: int(limit), stalled: stalled,
		whole: f.whole, progress: app.NewProgress(), partitions: map[int32]*written{}}
	return p.run(ctx, inputs, f.quiet)
}

// lookUp checks that topic and partition exist and finds the largest batch that the topic takes.
func lookUp(ctx context.Context, app *cli.App, session *cli.Session, f produceFlags, topic string, limit int32) (int32, error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	details, err := session.Topics(ctx, topic)
	if err != nil {
		if f.create && cli.IsNotFound(err) {
			return limit, nil
		}
		return limit, err
	}
	if n := len(details[topic].Partitions); f.partition >= int32(n) {
		return limit, cli.NotFoundf(fmt.Sprintf("it has partitions 0 to %d", n-1), "partition %d of topic %q does not exist", f.partition, topic)
	}
	resources, err := session.Admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return limit, nil // not allowed to see configurations is no reason not to produce: the default limit stands
	}
	for _, resource := range resources {
		for _, c := range resource.Configs {
			if n, err := strconv.ParseInt(c.MaybeValue(), 10, 32); c.Key == "max.message.bytes" && err == nil && n >= 1<<10 {
				limit = int32(min(n, 90<<20))
			}
		}
	}
	return limit, nil
}
