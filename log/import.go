package log

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// ErrForeign says that a directory of another server holds something that cannot be taken over.
var ErrForeign = errors.New("cannot be imported")

// startFile is Kafka's file, beside its partitions' directories, of log start offsets.
const startFile = "log-start-offset-checkpoint"

// PlanImport reads the partition's directory of another server, which has to be stopped, in Kafka's format v2, and says what there is. Offsets stay as they are: what its compaction has left out,
// or what lies before the log start, becomes empty batches. Which producer wrote a batch is forgotten: its id is another's here, whose first batches would pass for repeated ones. Anything damaged, of an older format,
// or of transactions is refused with file and position. A nil file system is the one of the machine.
func PlanImport(files vfs.FS, dir string) (*Salvage, error) {
	s, err := plan(files, dir, false, nil)
	if err != nil {
		return nil, fmt.Errorf("plan import of %s: %w", dir, err)
	}
	for _, h := range s.Holes {
		if h.To > h.From || !h.cut {
			return nil, fmt.Errorf("plan import of %s: %s at %d: %s: %w", dir, h.File, h.Position, h.Reason, ErrForeign)
		}
	}
	if s.foreign != "" {
		return nil, fmt.Errorf("plan import of %s: %s: %w", dir, s.foreign, ErrForeign)
	}
	start, err := foreignStart(s.files, dir)
	if err != nil {
		return nil, fmt.Errorf("plan import of %s: %w", dir, err)
	}
	s.Start = min(max(s.Start, start), s.End)
	return s, nil
}

// withoutProducer makes a batch one of no producer.
func withoutProducer(b []byte) {
	for at := 43; at < 57; at++ {
		b[at] = 0xFF // id, epoch and base sequence
	}
	sumBatch(b)
}

// foreignStart looks the log start of a directory up, 0 when nothing says one. The file has a version, a number of lines, and the lines: topic, partition, offset.
func foreignStart(files vfs.FS, dir string) (Offset, error) {
	dir = path.Clean(dir)
	b, err := vfs.ReadFile(files, path.Join(path.Dir(dir), startFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(strings.NewReader(string(b)))
	for lines.Scan() {
		var topic string
		var partition int
		var start int64
		if n, _ := fmt.Sscanf(lines.Text(), "%s %d %d", &topic, &partition, &start); n == 3 && fmt.Sprintf("%s-%d", topic, partition) == path.Base(dir) {
			return Offset(start), nil
		}
	}
	return 0, lines.Err()
}
