package main

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
)

// network gives every node a network namespace, all joined by a bridge on which the clients sit as well. Everybody knows everybody's hardware address by a permanent
// entry; a packet is lost, silently and in one direction only, when its sender is given a wrong one. That needs no packet filter in the kernel.
type network struct {
	index int // which of the possible networks on this machine
	size  int

	mu   sync.Mutex
	cuts map[[2]int]int // guarded by mu: how many faults cut from → to; node 0 is where the clients are
}

// nowhere is the hardware address of nobody.
const nowhere = "02:00:00:00:ff:ff"

func newNetwork(size int) (*network, error) {
	n := &network{size: size, cuts: map[[2]int]int{}}
	var err error
	for n.index = 1; n.index < 250; n.index++ {
		if err = run("ip", "link", "add", n.bridge(), "address", n.hardware(0), "type", "bridge"); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	commands := [][]string{
		{"ip", "addr", "add", n.address(0) + "/24", "dev", n.bridge()},
		{"ip", "link", "set", n.bridge(), "up"},
	}
	for i := 1; i <= size; i++ {
		outer := fmt.Sprintf("bv%dn%d", n.index, i)
		commands = append(commands,
			[]string{"ip", "netns", "add", n.namespace(i)},
			[]string{"ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "address", n.hardware(i), "netns", n.namespace(i)},
			[]string{"ip", "link", "set", outer, "master", n.bridge(), "up"},
			[]string{"ip", "-n", n.namespace(i), "addr", "add", n.address(i) + "/24", "dev", "eth0"},
			[]string{"ip", "-n", n.namespace(i), "link", "set", "eth0", "up"},
			[]string{"ip", "-n", n.namespace(i), "link", "set", "lo", "up"})
	}
	for _, c := range commands {
		if err := run(c...); err != nil {
			n.remove()
			return nil, err
		}
	}
	for from := 0; from <= size; from++ {
		for to := 0; to <= size; to++ {
			if from != to {
				if err := n.point(from, to, n.hardware(to)); err != nil {
					n.remove()
					return nil, err
				}
			}
		}
	}
	return n, nil
}

func (n *network) bridge() string            { return fmt.Sprintf("bbr%d", n.index) }
func (n *network) namespace(node int) string { return fmt.Sprintf("bn%dn%d", n.index, node) }
func (n *network) hardware(node int) string {
	return fmt.Sprintf("02:00:00:00:%02x:%02x", n.index, node)
}
func (n *network) address(node int) string {
	if node == 0 {
		node = 254
	}
	return fmt.Sprintf("10.213.%d.%d", n.index, node)
}

// point says which hardware address node from uses for node to.
func (n *network) point(from, to int, hardware string) error {
	entry := []string{"neigh", "replace", n.address(to), "lladdr", hardware, "nud", "permanent", "dev"}
	if from == 0 {
		return run(append(append([]string{"ip"}, entry...), n.bridge())...)
	}
	return run(append(append([]string{"ip", "-n", n.namespace(from)}, entry...), "eth0")...)
}

// cut loses all that from sends to to, until it is healed as often.
func (n *network) cut(from, to int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]int{from, to}]++
	return n.point(from, to, nowhere)
}

func (n *network) heal(from, to int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	pair := [2]int{from, to}
	if n.cuts[pair]--; n.cuts[pair] > 0 {
		return nil
	}
	delete(n.cuts, pair)
	return n.point(from, to, n.hardware(to))
}

// remove takes everything down.
func (n *network) remove() {
	for i := 1; i <= n.size; i++ {
		_ = run("ip", "netns", "del", n.namespace(i))
		_ = run("ip", "link", "del", fmt.Sprintf("bv%dn%d", n.index, i)) // gone with the namespace, sooner or later
	}
	_ = run("ip", "link", "del", n.bridge())
}

func run(command ...string) error {
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
