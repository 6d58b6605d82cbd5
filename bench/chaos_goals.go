package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// inflicted counts the faults that really happened: a node that still suffers from an earlier one is left alone.
type inflicted struct {
	kills atomic.Int64 // processes ended by kill -9
	cuts  atomic.Int64 // partitions of the network

	transfers atomic.Int64 // leaders elected because they were asked for
	moves     atomic.Int64 // replicas that a move has begun to take away: the cluster accepted it
	refused   refused
}

// counts by the names that goals have.
func (t *inflicted) counts(acked int64) map[string]int64 {
	return map[string]int64{"kills": t.kills.Load(), "cuts": t.cuts.Load(), "transfers": t.transfers.Load(), "moves": t.moves.Load(), "acked": acked}
}

// goals say how much of something there must have been in a run for it to mean something.
type goals map[string]int64

func (g goals) validate() error {
	known := new(inflicted).counts(0)
	for name := range g {
		if _, ok := known[name]; !ok {
			return fmt.Errorf("goal %q is none of kills, cuts, transfers, moves, acked", name)
		}
	}
	return nil
}

// judge prints what was reached, and fails if a goal was not.
func (g goals) judge(counts map[string]int64) error {
	var missed error
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		goal, ok := g[name]
		switch {
		case !ok:
			fmt.Printf("%-9s %d\n", name, counts[name])
		case counts[name] >= goal:
			fmt.Printf("%-9s %d, goal %d reached\n", name, counts[name], goal)
		default:
			fmt.Printf("%-9s %d, goal %d NOT reached\n", name, counts[name], goal)
			missed = errors.Join(missed, fmt.Errorf("%s: %d of %d", name, counts[name], goal))
		}
	}
	return missed
}
