package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Object prints v as one line of JSON.
func (a *App) Object(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Table collects rows and prints them aligned: words to the left, numbers to the right, two spaces between columns.
type Table struct {
	names []string
	right []bool
	rows  [][]string
}

// NewTable makes a table. A column whose name ends in "#" is aligned to the right; the mark is not printed.
func NewTable(columns ...string) *Table {
	t := &Table{}
	for _, c := range columns {
		name, numeric := strings.CutSuffix(c, "#")
		t.names = append(t.names, name)
		t.right = append(t.right, numeric)
	}
	return t
}

// Row adds a row; cells are printed with fmt.Sprint, an empty one as "-".
func (t *Table) Row(cells ...any) {
	row := make([]string, len(t.names))
	for i := range row {
		row[i] = "-"
		if i < len(cells) {
			if s := fmt.Sprint(cells[i]); s != "" {
				row[i] = s
			}
		}
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write prints the header and the rows.
func (t *Table) Write(w io.Writer) error {
	widths := make([]int, len(t.names))
	for _, row := range append([][]string{t.names}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range append([][]string{t.names}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Fields prints "name: value" lines, the values aligned. Pairs are name, value, name, value, ...
func Fields(w io.Writer, pairs ...any) error {
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		width = max(width, len(fmt.Sprint(pairs[i])))
	}
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		value := fmt.Sprint(pairs[i+1])
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(&b, "%-*s  %s\n", width+1, fmt.Sprint(pairs[i])+":", value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// IDs joins broker or partition numbers as "1,2,3".
func IDs(ids []int32) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(parts, ",")
}

// Text prepares bytes for JSON: UTF-8 is given as a string, anything else as base64, and null as neither.
func Text(b []byte) (plain *string, encoded string) {
	switch {
	case b == nil:
		return nil, ""
	case utf8.Valid(b):
		s := string(b)
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(b)
}
