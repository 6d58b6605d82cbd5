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
	nodes      []int // who suffers
	clients    bool  // a node that is cut off is cut off from clients as well
}

func (f fault) String() string {
	s := fmt.Sprintf("%7.2fs %-8s %v for %.2fs", f.at.Seconds(), f.kind, f.nodes, f.length.Seconds())
	if f.clients {
		s += ", clients too"
	}
	return s
}

// faultKind says how often a kind is drawn, and whether it keeps its nodes from suffering anything else meanwhile.
type faultKind struct {
	name    string
	weight  int
	victims func(*rand.Rand, int) []int
	network bool
}

func one(r *rand.Rand, size int) []int { return []int{1 + r.IntN(size)} }
func two(r *rand.Rand, size int) []int {
	return []int{1 + r.IntN(size), 1 + r.IntN(size)}
}

func all(_ *rand.Rand, size int) (nodes []int) {
	for n := range size {
		nodes = append(nodes, n+1)
	}
	return nodes
}

var faultKinds = []faultKind{
	{"kill", 36, one, false},   // kill -9, started again afterwards
	{"kill2", 3, two, false},   // two at once: no majority
	{"killall", 2, all, false}, // as by a power cut of processes
	{"pause", 14, one, false},  // SIGSTOP, SIGCONT afterwards
	{"restart", 8, one, false}, // SIGTERM, started again when it has ended
	{"isolate", 14, one, true}, // nothing goes between the node and the others
	{"deaf", 6, one, true},     // the node hears nothing and is heard
	{"mute", 6, one, true},     // the node hears everything and is not heard
	{"cut", 8, two, true},      // nothing goes between two nodes
	{"oneway", 8, two, true},   // nothing goes from the first to the second
	{"slow", 4, one, false},    // the node's disk takes a few writes a second
	{"elect", 4, all, true},    // everybody's leadership goes to the preferred replica
}

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
		f := fault{at: at, kind: possible[k].name, nodes: possible[k].victims(r, size), length: between(0.2, 4), clients: r.IntN(3) == 0}
		if r.IntN(8) == 0 {
			f.length *= 2
		}
		switch f.kind {
		case "isolate", "deaf", "mute":
		case "elect":
			f.length, f.clients = 0, false
		default:
			f.clients = false
		}
		overlap, gap := r.IntN(4) == 0, between(0.3, 2.5)
		free := len(f.nodes) < 2 || f.nodes[0] != f.nodes[1]
		for _, node := range f.nodes {
			free = free && (possible[k].network || busy[node] <= at)
		}
		if free {
			for _, node := range f.nodes {
				if !possible[k].network {
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
func faultNames(network, slow bool) (names []string) {
	for _, k := range faultKinds {
		if k.network && k.name != "elect" && !network || k.name == "slow" && !slow {
			continue
		}
		names = append(names, k.name)
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
