package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine is where it was measured.
type machine struct {
	CPU      string     `json:"cpu"`
	Cores    int        `json:"cores"`
	Memory   string     `json:"memory"`
	Kernel   string     `json:"kernel"`
	capacity            // medians
	Measured []capacity `json:"measured,omitempty"`
	Files    string     `json:"file_system"`
	TCP      string     `json:"tcp_congestion_control"` // one that sends at a pace (bbr) is slow over loopback
	Go       string     `json:"go"`
}

// capacity is what the machine itself can do: no server can do more.
type capacity struct {
	Disk      float64 `json:"disk_write_mb_per_second,omitempty"` // 1 GiB written in 1 MiB steps, then fdatasync
	Fdatasync float64 `json:"fdatasync_4k_ms,omitempty"`          // median of 4 KiB appended and synced
	Sendfile  float64 `json:"sendfile_mb_per_second,omitempty"`   // a file of 256 MiB in the page cache, from one process to another over loopback, dropped by the receiver's kernel
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s memory, Linux %s, %s, TCP by %s, %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.Files, m.TCP, m.Go)
}

func describeMachine(dir string) machine {
	line := func(file, name string) string {
		b, _ := os.ReadFile(file)
		for l := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
				return strings.TrimSpace(v)
			}
		}
		return "unknown"
	}
	said := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(lines[len(lines)-1])
	}
	var kb int64
	_, _ = fmt.Sscanf(line("/proc/meminfo", "MemTotal"), "%d", &kb)
	return machine{CPU: line("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20)),
		Kernel: said("uname", "-r"), Files: said("df", "--output=fstype", dir), TCP: said("cat", "/proc/sys/net/ipv4/tcp_congestion_control"), Go: runtime.Version()}
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// commit names the sources that are measured.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changed) > 0 {
		name += "+"
	}
	return name
}

// measure finds out, once more, what the machine can do. It takes some seconds.
func (m *machine) measure(dir string) error {
	if err := fillPageCache(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, "machine")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	var c capacity
	if c.Disk, err = writeRate(f); err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	if c.Fdatasync, err = syncTime(f); err != nil {
		return fmt.Errorf("measure fdatasync: %w", err)
	}
	if c.Sendfile, err = sendfileRate(f.Name(), 256<<20); err != nil {
		return fmt.Errorf("measure sendfile: %w", err)
	}
	m.Measured = append(m.Measured, c)
	m.Disk = medianOf(m.Measured, func(c capacity) float64 { return c.Disk })
	m.Fdatasync = medianOf(m.Measured, func(c capacity) float64 { return c.Fdatasync })
	m.Sendfile = medianOf(m.Measured, func(c capacity) float64 { return c.Sendfile })
	return nil
}

func writeRate(f *os.File) (float64, error) {
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 31)
	}
	begun := time.Now()
	for range 1024 {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
	}
	err := datasync(f)
	return float64(1024*len(block)) / 1e6 / time.Since(begun).Seconds(), err
}

func syncTime(f *os.File) (float64, error) {
	var all []time.Duration
	for range 500 {
		begun := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := datasync(f); err != nil {
			return 0, err
		}
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all[len(all)/2].Seconds() * 1e3, nil
}
