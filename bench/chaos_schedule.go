package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// fault is something bad that begins at a time, lasts for a while and is then made good.
type fault struct {
	at, length time.Duration
	kind       string
	nodes      []int  // who suffers
	clients    bool   // a node that is cut off is cut off from clients as well
	draw       uint64 // a random number for what else the kind has to choose
}

func (f fault) String() string {
	s := fmt.Sprintf("%7.2fs %-8s %v for %.2fs", f.at.Seconds(), f.kind, f.nodes, f.length.Seconds())
	switch {
	case f.clients:
		s += ", clients too"
	case f.kind == "clock":
		s += fmt.Sprintf(", by %v", f.jump())
	}
	return s
}

// jump is by how much a clock is wrong: more often by seconds than by most of an hour. Beyond an hour brokers refuse records that come from so far in their future.
func (f fault) jump() time.Duration {
	limits := []time.Duration{3 * time.Second, time.Minute, 50 * time.Minute}
	limit := int64(limits[f.draw%3] / time.Second)
	by := int64(f.draw>>8%uint64(2*limit)) - limit
	if by >= 0 {
		by++
	}
	return time.Duration(by) * time.Second
}

// faultKind says how often a kind is drawn, who suffers, and what this machine must allow for it.
type faultKind struct {
	name    string
	weight  int
	victims func(*rand.Rand, int) []int
	needs   need
	alone   bool // its nodes suffer from no other such kind meanwhile
	cuts    bool // nothing goes between some nodes
}

// need is what a kind of faults cannot do without.
type need int

const (
	nothing    need = iota
	namespaces      // a network that can be cut
	throttle        // disks that can be slowed down
	volumes         // disks of a size of their own
	clocks          // clocks of single processes that jump
)

func one(r *rand.Rand, size int) []int { return []int{1 + r.IntN(size)} }
func two(r *rand.Rand, size int) []int { return []int{1 + r.IntN(size), 1 + r.IntN(size)} }

func all(_ *rand.Rand, size int) (nodes []int) {
	for n := range size {
		nodes = append(nodes, n+1)
	}
	return nodes
}

var faultKinds = []faultKind{
	{"kill", 40, one, nothing, true, false},       // kill -9, started again afterwards
	{"kill2", 4, two, nothing, true, false},       // two at once: no majority
	{"killall", 2, all, nothing, true, false},     // as by a power cut of processes
	{"pause", 12, one, nothing, true, false},      // SIGSTOP, SIGCONT afterwards
	{"restart", 6, one, nothing, true, false},     // SIGTERM, started again when it has ended
	{"isolate", 12, one, namespaces, false, true}, // nothing goes between the node and the others
	{"deaf", 6, one, namespaces, false, true},     // the node hears nothing and is heard
	{"mute", 6, one, namespaces, false, true},     // the node hears everything and is not heard
	{"cut", 8, two, namespaces, false, true},      // nothing goes between two nodes
	{"oneway", 8, two, namespaces, false, true},   // nothing goes from the first to the second
	{"slow", 4, one, throttle, true, false},       // the node's disk takes a few writes a second
	{"full", 4, one, volumes, true, false},        // nothing more fits on the node's disk
	{"clock", 6, one, clocks, true, false},        // the node's clock jumps, and jumps back afterwards
	{"elect", 4, all, nothing, false, false},      // everybody's leadership goes to the preferred replica
	{"transfer", 6, one, nothing, false, false},   // another replica of some partition is preferred from now on, and elected
	{"move", 6, one, nothing, false, false},       // some partition leaves the node, and comes back afterwards
}

// instant says that a kind is over as soon as it has begun.
func instant(kind string) bool { return kind == "elect" || kind == "transfer" }

// schedule draws the faults of a run. The same arguments give the same faults.
func schedule(seed uint64, length time.Duration, size int, pace float64, kinds []string) []fault {
	r := rand.New(rand.NewPCG(seed, 0xba24aba5))
	var possible []faultKind
	total := 0
	for _, k := range faultKinds {
		if slices.Contains(kinds, k.name) {
			possible = append(possible, k)
			total += k.weight
		}
	}
	between := func(low, high float64) time.Duration {
		return time.Duration((low + (high-low)*r.Float64()) * float64(time.Second)).Round(10 * time.Millisecond)
	}
	busy := make([]time.Duration, size+1) // until when a node's process suffers
	var faults []fault
	if total == 0 {
		return nil
	}
	for at := between(1, 3); at < length; {
		n, k := r.IntN(total), 0
		for ; n >= possible[k].weight; k++ {
			n -= possible[k].weight
		}
		f := fault{at: at, kind: possible[k].name, nodes: possible[k].victims(r, size), length: between(0.2, 4), clients: r.IntN(3) == 0, draw: r.Uint64()}
		if r.IntN(8) == 0 {
			f.length *= 2
		}
		switch {
		case f.kind == "isolate", f.kind == "deaf", f.kind == "mute":
		case instant(f.kind):
			f.length, f.clients = 0, false
		default:
			f.clients = false
		}
		overlap, gap := r.IntN(4) == 0, between(0.3, 2.5)
		free := len(f.nodes) < 2 || f.nodes[0] != f.nodes[1]
		for _, node := range f.nodes {
			free = free && (!possible[k].alone || busy[node] <= at)
		}
		if free {
			for _, node := range f.nodes {
				if possible[k].alone {
					busy[node] = at + f.length + 500*time.Millisecond
				}
			}
			faults = append(faults, f)
			if !overlap {
				at += f.length
			}
		}
		at += time.Duration(float64(gap) / pace)
	}
	return faults
}

// faultNames are all kinds that a run can have.
func faultNames(have map[need]bool) (names []string) {
	for _, k := range faultKinds {
		if k.needs == nothing || have[k.needs] {
			names = append(names, k.name)
		}
	}
	return names
}

func tallyFaults(faults []fault) string {
	counts := map[string]int{}
	for _, f := range faults {
		counts[f.kind]++
	}
	var parts []string
	for _, k := range faultKinds {
		if counts[k.name] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[k.name], k.name))
		}
	}
	return strings.Join(parts, ", ")
}
