package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/internal/freeport"
)

// process is a broker under measurement.
type process struct {
	addr    string
	cmd     *exec.Cmd
	log     *os.File
	started time.Time
}

// workdir makes the data directory and says how to get rid of it.
func (o *options) workdir() (dir string, remove func(), err error) {
	if o.dir != "" {
		return o.dir, func() {}, os.MkdirAll(o.dir, 0o755)
	}
	dir, err = os.MkdirTemp("", "barnabas-bench-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// start starts a broker with its data in dir.
func (o *options) start(dir string) (*process, error) {
	addr, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(filepath.Join(dir, "broker.out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	args := []string{"server", "--set", "listeners=PLAINTEXT://" + addr, "--set", "log.dirs=" + filepath.Join(dir, "data")}
	for _, s := range o.set {
		args = append(args, "--set", s)
	}
	p := &process{addr: addr, log: out, cmd: exec.Command(o.binary, args...)}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.binary, err)
	}
	return p, nil
}

// awaitPort waits until the broker accepts connections.
func (p *process) awaitPort(ctx context.Context) error {
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			return c.Close()
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("broker does not accept connections, see %s: %w", p.log.Name(), ctx.Err())
}

// client connects; options are added to the defaults.
func (p *process) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.addr), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(0),
		kgo.RetryBackoffFn(func(int) time.Duration { return 2 * time.Millisecond })}, opts...)...)
}

// stop ends the broker with sig and waits for it.
func (p *process) stop(sig syscall.Signal) error {
	_ = p.cmd.Process.Signal(sig)
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && sig == syscall.SIGKILL {
		err = nil
	}
	return errors.Join(err, p.log.Close())
}

// memory is what /proc says of the process, in bytes: resident now and at its peak.
func (p *process) memory() (rss, peak int64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			rss = kb << 10
		case "VmHWM":
			peak = kb << 10
		}
	}
	return rss, peak, nil
}

// cpu is the processor time used so far.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

func mib(b int64) float64 { return float64(b) / (1 << 20) }
