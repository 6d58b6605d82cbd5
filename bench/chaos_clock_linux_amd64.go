package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A process asks for the time in a page of code that the kernel lends it (the vDSO). A process's copy of that page may be written to from outside, as debuggers do to set
// breakpoints. So the clock of one process, and of no other, jumps when its clock_gettime is replaced by one that asks the kernel and adds some seconds if the wall clock
// is meant. A process that is started anew has the right time again.

// asked is clock_gettime for x86-64: rdi is the clock, rsi points to seconds and nanoseconds.
var asked = []byte{
	0xb8, 228, 0, 0, 0, // mov eax, 228 (clock_gettime)
	0x0f, 0x05, //         syscall
	0x85, 0xff, //         test edi, edi (0: the wall clock)
	0x75, 13, //           jne to the end
	0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, // mov rcx, the seconds to add
	0x48, 0x01, 0x0e, //   add [rsi], rcx
	0xc3, //               ret
}

// addAt is where the seconds are in asked.
const addAt = 13

// canJumpClocks says whether jumpClock works here, by trying it on a process that only sleeps.
func canJumpClocks() error {
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		return err
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	}()
	return jumpClock(sleeper.Process.Pid, time.Second)
}

// jumpClock makes the wall clock of a process differ from the machine's, by a whole number of seconds. Monotonic clocks go on as before.
func jumpClock(pid int, by time.Duration) error {
	code := slices.Clone(asked)
	binary.LittleEndian.PutUint64(code[addAt:], uint64(int64(by/time.Second)))
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	for range 100 {
		done, err := whileStopped(process, code)
		if done || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("jump the clock of process %d: a thread is always reading it", pid)
}

// span of addresses in a process.
type span struct{ from, to uint64 }

// findClock returns where clock_gettime is in a process.
func findClock(pid int) (span, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return span{}, err
	}
	var pages span
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			_, err = fmt.Sscanf(line, "%x-%x", &pages.from, &pages.to)
		}
	}
	if err != nil || pages.from == 0 {
		return span{}, errors.Join(errors.New("it has no vDSO"), err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return span{}, err
	}
	defer memory.Close()
	content := make([]byte, pages.to-pages.from)
	if _, err := memory.ReadAt(content, int64(pages.from)); err != nil {
		return span{}, err
	}
	parsed, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return span{}, err
	}
	symbols, err := parsed.DynamicSymbols()
	if err != nil {
		return span{}, err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Size >= uint64(len(asked)) {
			return span{pages.from + s.Value, pages.from + s.Value + s.Size}, nil
		}
	}
	return span{}, errors.New("its vDSO has no clock_gettime")
}

// whileStopped writes code to the beginning of clock_gettime while no thread runs. It does nothing, and says so, if one of them was stopped within it. A process that is only just beginning its
// program has the function by the time it has stopped.
func whileStopped(process *os.Process, code []byte) (done bool, err error) {
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, process.Signal(syscall.SIGCONT)) }()
	threads, err := stopped(process.Pid)
	if err != nil {
		return false, err
	}
	function, err := findClock(process.Pid)
	if err != nil {
		return false, fmt.Errorf("find the clock of process %d: %w", process.Pid, err)
	}
	if within, err := anyWithin(threads, function); err != nil || within {
		return false, err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", process.Pid), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer memory.Close()
	_, err = memory.WriteAt(code, int64(function.from))
	return err == nil, err
}

// stopped waits until all threads of a process are stopped, and returns their directories.
func stopped(pid int) ([]string, error) {
	for range 1000 {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil || len(threads) == 0 {
			return nil, errors.Join(errors.New("the process is gone"), err)
		}
		running := slices.ContainsFunc(threads, func(thread string) bool {
			b, err := os.ReadFile(filepath.Join(thread, "stat"))
			return err == nil && !bytes.Contains(b, []byte(") T "))
		})
		if !running {
			return threads, nil
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil, errors.New("it does not stop")
}

// anyWithin says whether one of the threads, which are stopped, is within the function.
func anyWithin(threads []string, function span) (bool, error) {
	for _, thread := range threads {
		b, err := os.ReadFile(filepath.Join(thread, "syscall")) // ends with stack pointer and program counter
		if err != nil {
			return false, err
		}
		fields := strings.Fields(string(b))
		var at uint64
		if _, err := fmt.Sscanf(fields[len(fields)-1], "0x%x", &at); err != nil {
			return false, fmt.Errorf("where thread %s is: %q: %w", thread, b, err)
		}
		if at >= function.from && at < function.to {
			return true, nil
		}
	}
	return false, nil
}
