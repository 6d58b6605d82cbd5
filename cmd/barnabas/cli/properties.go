package cli

import (
	"bufio"
	"io"
	"strings"
)

// parseProperties reads a Java properties file: name=value, name: value or name value; comments with # or !; lines continued with a
// backslash. Later settings win.
func parseProperties(r io.Reader) (map[string]string, error) {
	out := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	logical := ""
	for lines.Scan() {
		line := strings.TrimLeft(lines.Text(), " \t\f")
		if logical == "" && (line == "" || line[0] == '#' || line[0] == '!') {
			continue
		}
		if backslashes := len(line) - len(strings.TrimRight(line, `\`)); backslashes%2 == 1 {
			logical += line[:len(line)-1]
			continue
		}
		addProperty(out, logical+line)
		logical = ""
	}
	if logical != "" {
		addProperty(out, logical)
	}
	return out, lines.Err()
}

func addProperty(out map[string]string, line string) {
	end := strings.IndexAny(line, "=: \t")
	if end < 0 {
		out[line] = ""
		return
	}
	value := strings.TrimLeft(line[end:], " \t")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = value[1:]
	}
	out[line[:end]] = strings.ReplaceAll(strings.Trim(value, " \t\r"), `\\`, `\`)
}
