package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// said is one line of a node's log.
type said struct {
	Level     string `json:"level"`
	Message   string `json:"msg"`
	Topic     string `json:"topic"`
	Error     string `json:"error"`
	Damage    string `json:"damage"`
	Segment   string `json:"segment"`
	Reason    string `json:"reason"`
	File      string `json:"file"`
	Directory string `json:"directory"`
	line      string
}

// about says whether the line names a file or directory of the partition.
func (s said) about(dir string) bool {
	return strings.Contains(s.line, filepath.Base(dir)) && s.Level != "debug"
}

// String is the message and what it says of the cause, with the directories left out.
func (s said) String() string {
	text := s.Message
	for _, more := range []string{s.Segment, s.File, s.Error, s.Damage, s.Reason} {
		if more != "" {
			text += ": " + more
		}
	}
	words := strings.Fields(text)
	for i, w := range words {
		if strings.HasPrefix(w, "/") {
			words[i] = filepath.Base(w)
		}
	}
	return strings.Join(words, " ")
}

// position is where a log ends now.
func position(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// saidSince are the lines of a node's log behind a position.
func saidSince(path string, from int64) (lines []said, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(from, 0); err != nil {
		return nil, err
	}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		s := said{line: scan.Text()}
		if json.Unmarshal(scan.Bytes(), &s) != nil {
			s.Level, s.Message = "fatal", s.line // a panic
		}
		lines = append(lines, s)
	}
	return lines, scan.Err()
}
