package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func allKinds() []string {
	return faultNames(map[need]bool{namespaces: true, throttle: true, volumes: true, clocks: true})
}

func TestTheSameSeedDrawsTheSameFaults(t *testing.T) {
	first := schedule(7, 10*time.Minute, 3, 1, allKinds())
	if !slices.EqualFunc(first, schedule(7, 10*time.Minute, 3, 1, allKinds()), func(a, b fault) bool { return a.String() == b.String() && a.draw == b.draw }) {
		t.Error("two schedules differ")
	}
	if slices.EqualFunc(first, schedule(8, 10*time.Minute, 3, 1, allKinds()), func(a, b fault) bool { return a.String() == b.String() }) {
		t.Error("another seed draws the same")
	}
}

func TestEveryKindIsDrawnAndNoNodeSuffersTwiceAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		seen := map[string]int{}
		busy := make([]time.Duration, 4)
		for _, f := range schedule(seed, 30*time.Minute, 3, 1.6, allKinds()) {
			seen[f.kind]++
			k := faultKinds[slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == f.kind })]
			for _, n := range f.nodes {
				if !k.alone {
					continue
				}
				if busy[n] > f.at {
					t.Errorf("seed %d: %v begins while node %d suffers until %v", seed, f, n, busy[n])
				}
				busy[n] = f.at + f.length
			}
			if f.kind == "clock" && (f.jump() == 0 || f.jump().Abs() > 50*time.Minute) {
				t.Errorf("a clock jumps by %v", f.jump())
			}
		}
		for _, k := range faultKinds {
			if seen[k.name] == 0 {
				t.Errorf("seed %d: no %s in 30 minutes", seed, k.name)
			}
		}
	}
}

func TestGoalsThatAreNotReachedAreNamed(t *testing.T) {
	var done inflicted
	done.kills.Add(3)
	if err := (goals{"kills": 3, "acked": 10}).judge(done.counts(10)); err != nil {
		t.Error(err)
	}
	err := goals{"kills": 4, "acked": 11}.judge(done.counts(10))
	if err == nil || !strings.Contains(err.Error(), "kills: 3 of 4") || !strings.Contains(err.Error(), "acked: 10 of 11") {
		t.Errorf("%v", err)
	}
	if err := (goals{"deaths": 1}).validate(); err == nil {
		t.Error("an unknown goal is accepted")
	}
}

// playClock makes this program the process whose clock jumps, if it was started as that: it says what time it is whenever it gets a line.
func playClock() bool {
	if os.Getenv("BARNABAS_TEST_CLOCK") == "" {
		return false
	}
	begun := time.Now()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(time.Now().Unix(), time.Since(begun).Milliseconds())
	}
	return true
}

func TestTheClockOfOneProcessJumps(t *testing.T) {
	if err := canJumpClocks(); err != nil {
		t.Skip(err)
	}
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), "BARNABAS_TEST_CLOCK=1")
	in, _ := p.StdinPipe()
	out, _ := p.StdoutPipe()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = p.Wait()
	}()
	answers := bufio.NewReader(out)
	ask := func() (ahead, monotonic int64) {
		t.Helper()
		_, _ = io.WriteString(in, "\n")
		line, err := answers.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(line)
		wall, _ := strconv.ParseInt(fields[0], 10, 64)
		monotonic, _ = strconv.ParseInt(fields[1], 10, 64)
		return wall - time.Now().Unix(), monotonic
	}
	for _, want := range []int64{0, 1800, -1800, 0} {
		if err := jumpClock(p.Process.Pid, time.Duration(want)*time.Second); err != nil {
			t.Fatal(err)
		}
		ahead, monotonic := ask()
		if ahead < want-1 || ahead > want+1 {
			t.Errorf("the clock is %d s ahead, want %d", ahead, want)
		}
		if monotonic < 0 || monotonic > 60_000 {
			t.Errorf("its monotonic clock jumped as well: %d ms", monotonic)
		}
	}
}
