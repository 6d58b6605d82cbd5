// Command bench measures Barnabas: how fast it starts and recovers, what it uses, and what it does under hostile traffic. Every figure in the README and in docs/ comes from
// a run of it. It starts the broker that it measures, on free ports and in a directory of its own, and stops it.
//
//	go run ./bench run produce      a workload, on one system or several; list names them
//	go run ./bench short            our own figures: make bench
//	go run ./bench peers            beside other systems: make bench-peers
//	go run ./bench start            time to the first acknowledged produce, idle memory
//	go run ./bench recovery --gb 10 time until a large partition is served again after kill -9
//	go run ./bench chaos            three brokers that suffer, and what their clients saw
//	go run ./bench faults           kill -9 at random moments, damaged files, under load
//	go run ./bench failover         time without acknowledgements when a leader dies or is stopped
//	go run ./bench partitions       many partitions: created, idle, a death, a restart
//	go run ./bench catchup          a follower that was away, and what its return costs
//	go run ./bench compact          10 million records over a million keys, compacted under load
//	go run ./bench move             a broker joins under load, another leaves
//	go run ./bench frames           random and mutated frames beside an honest client
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure Barnabas",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var o options
	root.PersistentFlags().StringVar(&o.binary, "binary", "bin/barnabas", "the broker to measure (make build)")
	root.PersistentFlags().StringVar(&o.dir, "dir", "", "directory for its data (default: a temporary one, removed afterwards)")
	root.PersistentFlags().StringArrayVar(&o.set, "set", nil, "configuration of the broker, name=value, repeatable")
	root.PersistentFlags().StringVar(&o.peers, "peers", "bin/bench-peers", "clients and servers of other systems (bench/peers/install)")
	root.PersistentFlags().BoolVar(&o.keep, "keep-data", false, "keep what the measured systems stored and said")
	for _, p := range plans() {
		root.AddCommand(newPlan(&o, p))
	}
	root.AddCommand(newRun(&o), newList(), newDrive(), newSend())
	root.AddCommand(newStart(&o), newRecovery(&o), newFrames(&o), newChaos(&o), newFailover(&o), newPartitions(&o), newCompact(&o), newCatchup(&o), newMove(&o), newFaults(&o))
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are common to all workloads.
type options struct {
	binary string
	dir    string
	set    []string
	peers  string
	keep   bool
}
