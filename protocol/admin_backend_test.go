package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap/zaptest"
)

// adminBackend is a broker whose cluster state is a real controller's, over a log that lives in memory, and whose group coordinator says what the test wants.
// Its partitions are those of the fake beneath: opened by the test, not by the controller.
type adminBackend struct {
	*fake
	state      *metadata.State
	controller *metadata.Controller
	groups     *recordingGroups
	logDirs    []LogDir
	moved      []string

	mu    sync.Mutex // one proposal at a time
	index uint64
	stuck bool // proposals are not answered
}

// Propose implements metadata.Proposer.
func (b *adminBackend) Propose(ctx context.Context, command []byte) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stuck {
		return nil, context.DeadlineExceeded
	}
	b.index++
	return b.state.Apply(b.index, command), nil
}

func (b *adminBackend) Image() *metadata.Image { return b.state.Image() }
func (b *adminBackend) Admin() Admin           { return b.controller }
func (b *adminBackend) Groups() consumergroup.API {
	return b.groups
}
func (b *adminBackend) LogDirs() []LogDir { return b.logDirs }

// MoveReplica knows the directories of logDirs.
func (b *adminBackend) MoveReplica(topic *metadata.Topic, number int32, dir string) error {
	for _, d := range b.logDirs {
		if d.Path == dir && d.Err == nil {
			b.moved = append(b.moved, fmt.Sprint(topic.Name, " ", number, " ", dir))
			return nil
		} else if d.Path == dir {
			return &metadata.Error{Code: codeKafkaStorageError, Message: d.Err.Error()}
		}
	}
	return &metadata.Error{Code: codeLogDirNotFound, Message: "no such directory"}
}

// Leader says that node 1 leads everything, in epoch 5, but for the topic "leaderless".
func (b *adminBackend) Leader(topic metadata.TopicID, number int32) (node, epoch int32) {
	if t := b.Image().ByID[topic]; t != nil && t.Name == "leaderless" {
		return -1, 5
	}
	return 1, 5
}

// TopicConfig has one inherited row, one with a synonym, one secret, and what was set.
func (b *adminBackend) TopicConfig(t *metadata.Topic) []ConfigEntry {
	rows := []ConfigEntry{
		entry("cleanup.policy", "delete", 5, 7),
		entry("retention.ms", "604800000", 4, 5, ConfigSynonym{Name: "log.retention.ms", Value: pointer("604800000"), Source: 4}),
		entry("secret", "hunter2", 5, 9, ConfigSynonym{Name: "log.secret", Value: pointer("hunter2"), Source: 5}),
	}
	rows[2].Sensitive = true
	for i := range rows {
		if value, isSet := t.Config[rows[i].Name]; isSet {
			rows[i].Value, rows[i].Source = &value, 1
		}
	}
	return rows
}

func (b *adminBackend) BrokerConfig(node int32) []ConfigEntry {
	if node == metadata.DefaultBroker {
		var rows []ConfigEntry
		for name, value := range b.Image().BrokerConfig[node] {
			rows = append(rows, entry(name, value, 3, 2))
		}
		return rows
	}
	row := entry("num.partitions", "1", 5, 3)
	row.ReadOnly = true
	return []ConfigEntry{row}
}

func entry(name, value string, source, kind int8, synonyms ...ConfigSynonym) ConfigEntry {
	return ConfigEntry{Name: name, Value: &value, Source: source, Type: kind, Doc: "About " + name + ".", Synonyms: synonyms}
}

func pointer[T any](v T) *T { return &v }

// validate knows a few configurations, and refuses "bad" values.
func validate(kind metadata.ConfigType, values map[string]string, _ []string) error {
	for name, value := range values {
		switch {
		case kind == metadata.GroupConfig:
			return &metadata.Error{Code: codeInvalidRequest, Message: "groups are not configured here"}
		case strings.HasPrefix(name, "unknown"):
			return fmt.Errorf("Unknown topic config name: %s", name)
		case value == "bad":
			return fmt.Errorf("Invalid value bad for configuration %s", name)
		}
	}
	return nil
}

func lists(_ metadata.ConfigType, name string) (string, bool) {
	return "delete", name == "cleanup.policy"
}

// administered is a server in front of an adminBackend.
type administered struct {
	*adminBackend
	served *served
}

// administer starts one. Nodes 1 and 2 are registered and live, node 3 is fenced.
func administer(tb testing.TB, o Options) *administered {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	o.Logger = zaptest.NewLogger(tb)
	b := &adminBackend{fake: newFake(tb, l.Addr().String()), state: metadata.NewState(nil), groups: &recordingGroups{}}
	b.controller = metadata.New(b.state, b, metadata.Options{NodeID: 1, DefaultPartitions: 3, DefaultReplicationFactor: 2, ValidateConfig: validate, ListConfig: lists})
	old := b.fake.Image()
	ctx := tb.Context()
	err = b.controller.SetClusterID(ctx, old.ClusterID)
	for id := int32(1); id <= 3; id++ {
		err = errors.Join(err, b.controller.RegisterBroker(ctx, metadata.Broker{ID: id, Rack: fmt.Sprintf("r%d", id), Listeners: old.Brokers[1].Listeners}))
	}
	if err = errors.Join(err, b.controller.FenceBroker(ctx, 3, 0, true)); err != nil {
		tb.Fatal(err)
	}
	s := NewServer(b, o)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l, "PLAINTEXT") }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Error(err)
		}
		if err := <-ended; err != ErrServerClosed {
			tb.Errorf("Serve returned %v", err)
		}
	})
	return &administered{served: &served{fake: b.fake, server: s, address: l.Addr().String()}, adminBackend: b}
}

// topic creates a topic of one replica a partition without going through the server.
func (a *administered) topic(name string, partitions int32) *metadata.Topic {
	a.tb.Helper()
	made, errs := a.controller.CreateTopics(a.tb.Context(), []metadata.NewTopic{{Name: name, Partitions: partitions, ReplicationFactor: 1,
		Internal: internalTopics[name]}}, false)
	if errs[0] != nil {
		a.tb.Fatal(errs[0])
	}
	return made[0]
}

// host opens partition 0 of a topic on this node, and leads it.
func (a *administered) host(t *metadata.Topic) { a.fake.open(t, 0, partition.Config{}) }

func (a *administered) dial() *raw { return dial(a.tb, a.served) }

// recordingGroups is a coordinator that keeps the last request of each kind and answers what it is told to.
type recordingGroups struct {
	join      consumergroup.JoinRequest
	joined    consumergroup.JoinResponse
	sync      consumergroup.SyncRequest
	synced    consumergroup.SyncResponse
	syncs     int
	beat      consumergroup.HeartbeatRequest
	beatCode  int16
	leave     consumergroup.LeaveRequest
	left      consumergroup.LeaveResponse
	commit    consumergroup.CommitRequest
	commits   int
	codes     []int16
	fetches   []consumergroup.FetchRequest
	fetched   []consumergroup.FetchedOffset
	fetchCode int16
	described map[string]consumergroup.Described
	listed    []consumergroup.Listed
	listCode  int16
	deleted   []string
	outcome   map[string]int16
	forgotten []consumergroup.TopicPartition
	forgets   int
	groupCode int16
}

func (g *recordingGroups) Join(_ context.Context, r consumergroup.JoinRequest) consumergroup.JoinResponse {
	g.join = r
	return g.joined
}

func (g *recordingGroups) Sync(_ context.Context, r consumergroup.SyncRequest) consumergroup.SyncResponse {
	g.sync = r
	g.syncs++
	return g.synced
}

func (g *recordingGroups) Heartbeat(_ context.Context, r consumergroup.HeartbeatRequest) int16 {
	g.beat = r
	return g.beatCode
}

func (g *recordingGroups) Leave(_ context.Context, r consumergroup.LeaveRequest) consumergroup.LeaveResponse {
	g.leave = r
	return g.left
}

func (g *recordingGroups) Commit(_ context.Context, r consumergroup.CommitRequest) []int16 {
	g.commit = r
	g.commits++
	if g.codes == nil {
		return make([]int16, len(r.Offsets))
	}
	return g.codes
}

func (g *recordingGroups) Fetch(_ context.Context, r consumergroup.FetchRequest) ([]consumergroup.FetchedOffset, int16) {
	g.fetches = append(g.fetches, r)
	return g.fetched, g.fetchCode
}

func (g *recordingGroups) Describe(_ context.Context, group string) consumergroup.Described {
	if d, known := g.described[group]; known {
		return d
	}
	return consumergroup.Described{Group: group, Code: codeGroupIDNotFound, State: "Dead"}
}

func (g *recordingGroups) List(context.Context) ([]consumergroup.Listed, int16) {
	return g.listed, g.listCode
}

func (g *recordingGroups) Delete(_ context.Context, group string) int16 {
	g.deleted = append(g.deleted, group)
	return g.outcome[group]
}

func (g *recordingGroups) DeleteOffsets(_ context.Context, _ string, partitions []consumergroup.TopicPartition) ([]int16, int16) {
	g.forgotten = partitions
	g.forgets++
	if g.codes == nil {
		return make([]int16, len(partitions)), g.groupCode
	}
	return g.codes, g.groupCode
}

func (g *recordingGroups) PartitionFor(string) int32 { return 0 }
