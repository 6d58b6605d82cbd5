package log

import (
	"errors"
	"fmt"
)

// What a caller may branch on.
var (
	// ErrNotFound: the entry is not in the log: never written, truncated, or trimmed away.
	ErrNotFound = errors.New("entry not found")
	// ErrOutOfRange: the offset or index lies outside of what the log holds.
	ErrOutOfRange = errors.New("out of range")
	// ErrInvalid: the caller's arguments do not fit; nothing was changed and the log goes on.
	ErrInvalid = errors.New("invalid argument")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
	// ErrFailed: a write or an fsync failed earlier; this log takes no more writes until it is opened again. Wraps the cause.
	ErrFailed = errors.New("log has failed")
	// ErrCorrupt: the files hold something that no crash can leave behind. Always a *CorruptError.
	ErrCorrupt = errors.New("log is corrupt")
	// ErrUnsupported: the files were written by a newer version.
	ErrUnsupported = errors.New("unsupported format version")
)

// errReplaced: the segment was replaced by compaction while it was read. It is looked up again.
var errReplaced = fmt.Errorf("%w: segment was compacted meanwhile", ErrNotFound)

// CorruptError says where the damage is. errors.Is(err, ErrCorrupt) is true for it.
type CorruptError struct {
	File     string // path
	Position int64  // in bytes
	Reason   string
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at %d: %s", e.File, e.Position, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// failure is the error that stopped a log.
type failure struct{ cause error }

func (f *failure) Error() string   { return fmt.Sprintf("%v: %v", ErrFailed, f.cause) }
func (f *failure) Unwrap() []error { return []error{ErrFailed, f.cause} }
