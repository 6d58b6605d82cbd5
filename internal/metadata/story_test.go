package metadata

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories say now into testdata; read the diff before you commit it")

// TestStories runs the stories in testdata. A story is a conversation with one cluster: a command, a line of dashes, what came of it. Lines that begin with # are
// for the reader. The commands are the cases in (*teller).tell.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			teller := newTeller()
			var told strings.Builder
			for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				block = teller.block(block)
				if i > 0 {
					told.WriteString("\n")
				}
				told.WriteString(block)
			}
			if told.String() == string(text) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(told.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("the story went differently:\n%s", firstDifferenceOf(string(text), told.String()))
		})
	}
}

func firstDifferenceOf(want, got string) string {
	wanted, gotten := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(wanted), len(gotten)) {
		if wanted[i] != gotten[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, wanted[i], gotten[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d:\n%s", len(gotten), len(wanted), got)
}

// teller acts a story out.
type teller struct {
	cluster    *cluster
	controller *Controller
}

func newTeller() *teller {
	c := &cluster{state: NewState(nil)}
	return &teller{cluster: c, controller: New(c.state, c, Options{
		NewTopicID:              ids(),
		MaxPartitionsPerRequest: 100,
		ListConfig:              func(_ ConfigType, name string) (string, bool) { return "delete", name == "cleanup.policy" },
		ValidateConfig: func(_ ConfigType, values map[string]string, _ []string) error {
			if value := values["retention.ms"]; value != "" {
				if _, err := strconv.Atoi(value); err != nil {
					return fmt.Errorf("Invalid value %s for configuration retention.ms: Not a number of type LONG", value)
				}
			}
			return nil
		},
	})}
}

// block tells one block again: its comment and command, and what they lead to now.
func (s *teller) block(block string) string {
	var kept []string
	for line := range strings.SplitSeq(block, "\n") {
		if line == "----" {
			break
		}
		kept = append(kept, line)
	}
	command := kept[len(kept)-1]
	if strings.HasPrefix(command, "#") {
		return strings.Join(kept, "\n") + "\n"
	}
	before := s.cluster.state.Image()
	said := s.tell(strings.Fields(command))
	return strings.Join(kept, "\n") + "\n----\n" + said + effects(before, s.cluster.state.Image()) + "\n"
}

func effects(before, after *Image) string {
	var out strings.Builder
	d := Diff(before, after)
	for _, t := range d.Deleted {
		fmt.Fprintf(&out, "\n- %s %s", t.Name, t.ID)
	}
	for _, t := range d.Created {
		fmt.Fprintf(&out, "\n+ %s %s%s", t.Name, t.ID, assignment(t))
	}
	for _, t := range d.Grown {
		fmt.Fprintf(&out, "\n~ %s%s", t.Name, assignment(t))
	}
	for _, t := range d.Config {
		fmt.Fprintf(&out, "\n~ %s %s", t.Name, settings(t.Config))
	}
	return out.String()
}

func assignment(t *Topic) string {
	var out strings.Builder
	for _, p := range t.Partitions {
		fmt.Fprintf(&out, " %v", p.Replicas)
		if p.Target != nil {
			fmt.Fprintf(&out, "(+%v -%v)", p.Adding(), p.Removing())
		}
		if p.Founded {
			out.WriteString("*")
		}
	}
	return out.String()
}

func settings(values map[string]string) string {
	var out []string
	for _, name := range sortedKeys(values) {
		out = append(out, name+"="+values[name])
	}
	return "{" + strings.Join(out, " ") + "}"
}

// arguments are the name=value words of a command.
type arguments map[string]string

func (a arguments) int(name string, fallback int) int {
	if n, err := strconv.Atoi(a[name]); err == nil {
		return n
	}
	return fallback
}

func (s *teller) tell(words []string) string {
	ctx, a := context.Background(), arguments{}
	name := ""
	for _, word := range words[1:] {
		key, value, found := strings.Cut(word, ":")
		if found {
			a[key] = value
		} else {
			name = word
		}
	}
	switch words[0] {
	case "register":
		b := broker(int32(a.int("id", 0)), a["rack"])
		return outcomeOf(s.controller.RegisterBroker(ctx, b))
	case "unregister":
		return outcomeOf(s.controller.UnregisterBroker(ctx, int32(a.int("id", 0))))
	case "fence", "unfence":
		return outcomeOf(s.controller.FenceBroker(ctx, int32(a.int("id", 0)), int64(a.int("epoch", 0)), words[0] == "fence"))
	case "cluster-id":
		return outcomeOf(s.controller.SetClusterID(ctx, name))
	case "producer-id":
		id, err := s.controller.NextProducerID(ctx)
		if err != nil {
			return outcomeOf(err)
		}
		return fmt.Sprint("ok ", id)
	case "create":
		return s.create(ctx, words[1:])
	case "delete":
		id, _ := ParseTopicID(a["id"])
		_, err := s.controller.DeleteTopic(ctx, name, id)
		return outcomeOf(err)
	case "grow":
		p := NewPartitions{Topic: name, Count: int32(a.int("to", 0))}
		wanted := parseAssignment(a["assign"])
		for _, number := range sortedKeys(wanted) {
			p.Assignment = append(p.Assignment, wanted[number])
		}
		return outcomeOf(s.controller.CreatePartitions(ctx, p, a["only"] == "validate"))
	case "alter", "replace":
		return s.alter(ctx, words)
	case "apply":
		s.cluster.index++
		return fmt.Sprint(s.cluster.state.Apply(s.cluster.index, []byte(strings.Join(words[1:], " "))))
	case "move": // move NAME p:N to:1,2 [same:factor]; without to: cancel
		m := Reassignment{Topic: name, Partition: int32(a.int("p", 0)), Replicas: parseAssignment(a["to"])[0]}
		return outcomeOf(s.controller.AlterReassignments(ctx, []Reassignment{m}, a["same"] != "")[0])
	case "arrived":
		t := s.controller.Image().Topics[name]
		return outcomeOf(s.controller.FinishReassignment(ctx, t.ID, int32(a.int("p", 0)), parseAssignment(a["to"])[0]))
	case "founders":
		return fmt.Sprint(s.controller.Image().Topics[name].Partitions[a.int("p", 0)].Founders())
	case "snapshot":
		return s.snapshot()
	}
	return "unknown command " + words[0]
}

func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return fmt.Sprintf("error %d: %v", code(err), err)
}

// create tells `create NAME [p:N] [rf:N] [assign:1,2/2,3] [set:name=value] [only:validate] [also NAME ...]`.
func (s *teller) create(ctx context.Context, words []string) string {
	var topics []NewTopic
	validateOnly := false
	for request := range strings.SplitSeq(strings.Join(words, " "), " also ") {
		t := NewTopic{Partitions: -1, ReplicationFactor: -1}
		for word := range strings.FieldsSeq(request) {
			key, value, found := strings.Cut(word, ":")
			number, _ := strconv.Atoi(value)
			switch {
			case !found:
				t.Name = word
			case key == "p":
				t.Partitions = int32(number)
			case key == "rf":
				t.ReplicationFactor = int16(number)
			case key == "assign":
				t.Assignment = parseAssignment(value)
			case key == "set":
				name, to, _ := strings.Cut(value, "=")
				t.Config = map[string]string{name: to}
			case key == "only":
				validateOnly = true
			}
		}
		if t.Name == `""` {
			t.Name = ""
		}
		t.Name = strings.ReplaceAll(t.Name, "x*250", strings.Repeat("x", 250))
		topics = append(topics, t)
	}
	made, errs := s.controller.CreateTopics(ctx, topics, validateOnly)
	var said []string
	for i := range topics {
		if errs[i] == nil {
			said = append(said, fmt.Sprintf("ok %d partitions x %d", len(made[i].Partitions), made[i].ReplicationFactor()))
		} else {
			said = append(said, outcomeOf(errs[i]))
		}
	}
	return strings.Join(said, "\n")
}

// parseAssignment reads 1,2/2,3: partition 0 on 1 and 2, partition 1 on 2 and 3. A partition called - is left out.
func parseAssignment(text string) map[int32][]int32 {
	if text == "" {
		return nil
	}
	partitions := map[int32][]int32{}
	for i, part := range strings.Split(text, "/") {
		if part == "-" {
			continue
		}
		replicas := []int32{}
		for id := range strings.SplitSeq(part, ",") {
			if n, err := strconv.Atoi(id); err == nil {
				replicas = append(replicas, int32(n))
			}
		}
		partitions[int32(i)] = replicas
	}
	return partitions
}

// alter tells `alter topic NAME +list=value -list=value name=value !name` and `replace topic NAME name=value`.
func (s *teller) alter(ctx context.Context, words []string) string {
	r := ConfigResource{Type: map[string]ConfigType{"topic": TopicConfig, "broker": BrokerConfig, "group": GroupConfig, "logger": BrokerLoggerConfig}[words[1]]}
	if r.Name = words[2]; r.Name == `""` {
		r.Name = ""
	}
	var ops []ConfigOp
	values := map[string]*string{}
	for _, word := range words[3:] {
		name, value, found := strings.Cut(strings.TrimLeft(word, "+-!"), "=")
		op := ConfigOp{Name: name, Op: map[byte]int8{'+': opAppend, '-': opSubtract, '!': opDelete}[word[0]]}
		if found {
			op.Value = &value
		}
		ops = append(ops, op)
		values[name] = op.Value
	}
	var err error
	if words[0] == "replace" {
		err = s.controller.ReplaceConfig(ctx, r, values, false)
	} else {
		err = s.controller.AlterConfig(ctx, r, ops, false)
	}
	if err != nil {
		return outcomeOf(err)
	}
	return "ok " + settings(maps.Clone(s.controller.Image().Config(r)))
}

// snapshot saves the state and goes on with what was restored from it.
func (s *teller) snapshot() string {
	data, err := s.cluster.state.Snapshot()
	if err != nil {
		return outcomeOf(err)
	}
	if err := s.cluster.state.Restore(data); err != nil {
		return outcomeOf(err)
	}
	return string(data)
}
