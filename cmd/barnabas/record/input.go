package record

import (
	"bufio"
	"errors"
	"io"
	"os"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// inputs are the files to read, one after another.
type inputs []input

type input struct {
	name string
	io.Reader
	io.Closer // nil for standard input, which is not ours to close
}

// openInputs opens every file before anything is written, so that a wrong name is noticed first.
func openInputs(app *cli.App, paths []string) (inputs, error) {
	if len(paths) == 0 {
		paths = []string{"-"}
	}
	var out inputs
	for _, path := range paths {
		if path == "-" {
			out = append(out, input{name: "standard input", Reader: app.In})
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			out.close()
			return nil, cli.Usagef("read records: %w", err)
		}
		out = append(out, input{path, f, f})
	}
	return out, nil
}

func (in inputs) close() {
	for _, i := range in {
		if i.Closer != nil {
			_ = i.Close() // opened for reading
		}
	}
}

// errTooLong says that a line, or a whole file, is larger than a record may be.
var errTooLong = errors.New("larger than the topic's max.message.bytes")

// lines cuts a reader at line feeds. Memory is bounded by limit: the rest of a longer line is read and dropped.
type lines struct {
	r     *bufio.Reader
	limit int
}

// next gives a line without its line feed, in memory of its own; errTooLong for one over the limit; io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	var line []byte
	dropped := false
	for {
		part, err := l.r.ReadSlice('\n')
		if len(line)+len(part) > l.limit+1 {
			dropped = true
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case err != nil && len(part) == 0 && len(line) == 0 && !dropped:
			return nil, io.EOF
		case dropped:
			return nil, errTooLong
		}
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		return line, nil
	}
}

// all reads everything as one record.
func (l *lines) all() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(l.r, int64(l.limit)+1))
	if err == nil && len(b) > l.limit {
		return nil, errTooLong
	}
	return b, err
}
