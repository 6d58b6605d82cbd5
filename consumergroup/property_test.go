package consumergroup

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/coordinator"
)

// TestRandomHistoriesKeepTheInvariants plays random commands of the stories' language. After each: the group is consistent, and what was written restores
// what is there. At the end everyone who waits is answered and every member is gone, once enough time passes. A failure prints its history as a story.
func TestRandomHistoriesKeepTheInvariants(t *testing.T) {
	seeds := 300
	if os.Getenv("BARNABAS_LONG") != "" {
		seeds = 20_000
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(uint64(seed), 42))
		var history []string
		if err := playRandom(random, &history); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(history, "\n"))
		}
	}
}

func playRandom(random *rand.Rand, history *[]string) error {
	st := newStage()
	rosters := map[int32]string{}
	play := func(line string) error {
		*history = append(*history, line)
		if err := st.do(line); err != nil {
			return err
		}
		st.take()
		if line == "restart" || strings.HasPrefix(line, "delete") {
			clear(rosters)
		}
		return checkAll(st, rosters)
	}
	if err := play([]string{"options delay=0s", "options delay=3s", "options delay=1s max-size=3", "options retention=1m check=20s"}[random.IntN(4)]); err != nil {
		return err
	}
	for range 20 + random.IntN(150) {
		if err := play(randomCommand(random)); err != nil {
			return err
		}
	}
	if err := play("wait 30m"); err != nil {
		return err
	}
	for _, who := range st.waiting {
		return fmt.Errorf("%s waits for %s for ever", who.who, who.what)
	}
	for _, g := range st.shard.groups {
		if g.state != empty {
			return fmt.Errorf("%s is still %v", g.name, g.state)
		}
	}
	return nil
}

func randomCommand(random *rand.Rand) string {
	one := func(options ...string) string { return options[random.IntN(len(options))] }
	who := one("a", "b", "c", "d", "e")
	instance := ""
	if who == "d" || who == "e" {
		instance = " instance=" + one("i1", "i1", "i2")
	}
	switch random.IntN(14) {
	case 0, 1, 2, 3:
		return "join " + who + instance + one("", "", " old", " v9") + one("", "", "", " id=-") + " session=" + one("6s", "10s", "30s") + " rebalance=" + one("5s", "20s", "1m") +
			" protocols=" + one("range", "range,roundrobin", "roundrobin,range", "sticky") + " topics=" + one("t", "t,u")
	case 4, 5, 6:
		return "sync " + who + instance + one("", "", " gen=1") + " a=0 b=1 c=2"
	case 7:
		return "heartbeat " + who + instance + one("", "", " gen=2")
	case 8:
		return "leave " + one("a", "b", "c", "d", "-/i1", "-/i2", "a b", "-/i1 c")
	case 9:
		return "commit " + one("a", "b", "c", "-") + " " + one("t:0=1", "t:1=2 u:0=3", "v:0=1 t:0=9") + one("", "", " retention=10s")
	case 10:
		return one("delete", "delete-offsets t:0 u:0", "topic-deleted t", "fetch", "describe", "list", "restart", "restart")
	default:
		return "wait " + one("0s", "100ms", "3s", "5s", "11s")
	}
}

// checkAll checks every group. rosters has who was in each generation so far: a generation is one agreement.
func checkAll(st *stage, rosters map[int32]string) error {
	if st.shard == nil {
		return nil
	}
	if st.shard.groups["g"] == nil { // deleted or expired: its successor counts anew
		clear(rosters)
	}
	for _, g := range st.shard.groups {
		if err := checkGroup(g); err != nil {
			return fmt.Errorf("%s %v: %w", g.name, g.state, err)
		}
		if err := checkRoster(g, rosters); err != nil {
			return err
		}
	}
	return checkRestore(st)
}

func checkRoster(g *group, rosters map[int32]string) error {
	for generation := range rosters {
		if generation > g.generation && (g.stored || len(g.members) > 0) {
			return fmt.Errorf("generation %d after %d", g.generation, generation)
		}
	}
	if g.state != completingRebalance && g.state != stable {
		return nil
	}
	roster := ""
	for _, m := range g.inOrder() {
		if m.instance != nil {
			roster += " " + *m.instance // its id may change
		} else {
			roster += " " + m.id
		}
	}
	if before, ok := rosters[g.generation]; ok && before != roster {
		return fmt.Errorf("generation %d had%s, then%s", g.generation, before, roster)
	}
	rosters[g.generation] = roster
	return nil
}

func checkGroup(g *group) error {
	joining, static := 0, 0
	supported := map[string]int{}
	for id, m := range g.members {
		if m.id != id {
			return fmt.Errorf("%s is filed as %s", m.id, id)
		}
		if m.join != nil {
			joining++
			if g.state != preparingRebalance {
				return fmt.Errorf("%s waits for a join", id)
			}
		}
		if m.sync != nil && g.state != completingRebalance {
			return fmt.Errorf("%s waits for a sync", id)
		}
		if m.session.due.IsZero() {
			return fmt.Errorf("%s has no session", id)
		}
		if m.instance != nil {
			static++
			if g.instances[*m.instance] != id {
				return fmt.Errorf("%s is not who has its instance id", id)
			}
		}
		for _, p := range m.protocols {
			supported[p.Name]++
		}
	}
	for id := range g.unsynced {
		if g.members[id] == nil {
			return fmt.Errorf("%s is no member and must sync", id)
		}
	}
	for id := range g.pending {
		if g.members[id] != nil {
			return fmt.Errorf("%s is a member and pending", id)
		}
	}
	switch {
	case joining != g.joining:
		return fmt.Errorf("%d join, counted %d", joining, g.joining)
	case static != len(g.instances):
		return fmt.Errorf("%d static members, %d instance ids", static, len(g.instances))
	case fmt.Sprint(supported) != fmt.Sprint(g.supported):
		return fmt.Errorf("supported %v, counted %v", supported, g.supported)
	case g.state == empty && len(g.members) > 0:
		return fmt.Errorf("%d members", len(g.members))
	case (g.state == stable || g.state == completingRebalance) && g.members[g.leader] == nil:
		return fmt.Errorf("the leader %q is no member", g.leader)
	case (g.state == stable || g.state == completingRebalance) && g.supported[g.protocol] != len(g.members):
		return fmt.Errorf("not all support %q", g.protocol)
	case g.state == preparingRebalance && g.rebalance.due.IsZero():
		return fmt.Errorf("no end of the rebalance")
	case g.state == completingRebalance && g.syncing.due.IsZero():
		return fmt.Errorf("no end of the sync")
	}
	return nil
}

// checkRestore loads a second shard from what was written and compares what must survive.
func checkRestore(st *stage) error {
	restored := newShard(&st.opts, nil)
	for _, r := range st.log {
		if err := restored.Replay(r); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for name := range st.shard.groups {
		names[name] = true
	}
	for name := range restored.groups {
		names[name] = true
	}
	for name := range names {
		now, then := st.shard.groups[name], restored.groups[name]
		if now == nil {
			return fmt.Errorf("%s is back", name)
		}
		if a, b := showKept(now), showKept(then); a != b {
			return fmt.Errorf("restored otherwise:\n  is   %s\n  then %s", a, b)
		}
		if now == nil || !now.stored || now.state != stable && now.state != empty {
			continue
		}
		if a, b := showAgreement(now), showAgreement(then); a != b {
			return fmt.Errorf("restored otherwise:\n  is   %s\n  then %s", a, b)
		}
	}
	return nil
}

func showKept(g *group) string {
	if g == nil {
		return "[]"
	}
	var all []string
	for _, p := range g.committed(every) {
		all = append(all, fmt.Sprintf("%v %+v", p, g.offsets[p.Topic][p.Partition]))
	}
	return fmt.Sprint(all)
}

func showAgreement(g *group) string {
	if g == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%v generation %d %s %s leader %s", g.state, g.generation, g.protocolType, g.protocol, g.leader)
	for _, m := range g.inOrder() {
		s += fmt.Sprintf("; %s%s %v %v %v reads %q has %q", m.id, showInstance(m.instance), m.client, m.sessionTimeout, m.rebalanceTimeout, m.metadata(g.protocol), m.assignment)
	}
	if g.state == empty {
		s += fmt.Sprintf(" since %d", g.since.UnixMilli())
	}
	return s
}

// TestBigRebalanceIsNotQuadratic has many members join, and compares what the rebalance allocates for a thousand and for a quarter of them.
func TestBigRebalanceIsNotQuadratic(t *testing.T) {
	few, many := rebalanceBytes(t, 250), rebalanceBytes(t, 1000)
	if many > 8*few {
		t.Errorf("4 times the members took %d times the memory: %d and %d bytes", many/few, few, many)
	}
}

func rebalanceBytes(t *testing.T, members int) uint64 {
	st := newStage()
	st.opts.InitialRebalanceDelay = 0
	st.load()
	topics := make([]string, 40)
	for i := range topics {
		topics[i] = fmt.Sprintf("topic-with-a-long-name-%d", i)
	}
	metadata := subscription(topics...)
	var out coordinator.Effects
	for i := range members {
		st.shard.Handle(st.now, coordinator.NewCaller(), JoinRequest{
			Client: Client{ID: fmt.Sprint("m", i)}, Group: "g", ProtocolType: consumerType, Protocols: []Protocol{{Name: "range", Metadata: metadata}},
			SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute,
		}, &out)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	st.shard.Tick(st.now, &out)
	g := st.shard.groups["g"]
	st.shard.Handle(st.now, coordinator.NewCaller(), SyncRequest{Group: "g", Generation: 1, MemberID: g.leader}, &out)
	runtime.ReadMemStats(&after)
	if g.state != stable || len(out.Replies) != members+1 || len(out.Records) != 1 {
		t.Fatalf("%v, %d replies, %d records", g.state, len(out.Replies), len(out.Records))
	}
	return after.TotalAlloc - before.TotalAlloc
}
