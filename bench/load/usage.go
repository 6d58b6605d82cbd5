package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Usage is what processes have used.
type Usage struct {
	CPU  time.Duration // processor time, user and system, so far
	RSS  int64         // bytes resident now
	Peak int64         // bytes resident at most
}

// UsageOf sums up what /proc says of the processes and all their children. Processor time is counted in steps of 10 ms. Work that the kernel does in its own threads for
// them, writing back pages for example, is not in it.
func UsageOf(roots []int) (Usage, error) {
	var u Usage
	if len(roots) == 0 {
		return u, nil
	}
	for _, pid := range descendants(roots) {
		cpu, err := processCPU(pid)
		if err != nil {
			continue // ended meanwhile
		}
		u.CPU += cpu
		u.RSS += statusBytes(pid, "VmRSS:")
		u.Peak += statusBytes(pid, "VmHWM:")
	}
	for _, pid := range roots {
		if _, err := processCPU(pid); err != nil {
			return u, fmt.Errorf("the server is gone: %w", err)
		}
	}
	return u, nil
}

// ResetPeak makes Peak count from now on, if the system lets us.
func ResetPeak(roots []int) {
	for _, pid := range descendants(roots) {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// descendants are the processes and all below them.
func descendants(roots []int) []int {
	children := map[int][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		fields := statFields(file)
		if len(fields) < 15 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, _ := strconv.Atoi(string(fields[1]))
		children[parent] = append(children[parent], pid)
	}
	all := append([]int(nil), roots...)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// statFields are the fields behind the name, the state first; nil if the process is gone.
func statFields(file string) [][]byte {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
}

// processCPU is the time of the process and of those of its children that have ended.
func processCPU(pid int) (time.Duration, error) {
	fields := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if len(fields) < 15 {
		return 0, os.ErrProcessDone
	}
	var ticks int64
	for _, f := range fields[11:15] {
		n, _ := strconv.ParseInt(string(f), 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

func statusBytes(pid int, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == name {
			kb, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return kb << 10
		}
	}
	return 0
}
