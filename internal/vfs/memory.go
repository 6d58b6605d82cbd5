package vfs

import (
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// Memory is a file system in memory that knows what was synced. The zero value is not usable; see NewMemory.
type Memory struct {
	mu   sync.Mutex // guards following, and every node
	root *node
	hook func(name string, done bool)
}

// node is a file or a directory. For both, there is what the running system sees, what is durable, and the changes between the two.
type node struct {
	dir bool

	// a file
	content []byte
	durable []byte
	writes  []change // in their order

	// a directory
	names        map[string]*node
	durableNames map[string]*node
	moves        []move
}

// change is one write, or one truncation (data nil), that was not synced.
type change struct {
	position int64
	data     []byte
}

// move is one change of a directory that was not synced: drop takes a name away, set gives a name to a node. A rename is both.
type move struct {
	drop string
	set  string
	node *node
}

// NewMemory gives an empty file system.
func NewMemory() *Memory { return &Memory{root: newDir()} }

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durableNames: map[string]*node{}}
}

// OnSync sets a function that is called around every File.Sync and FS.SyncDir: with done false before it takes effect and with true after. It
// runs on the goroutine that syncs and may call CrashClone.
func (m *Memory) OnSync(hook func(name string, done bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

func (m *Memory) synced(name string, done bool) {
	m.mu.Lock()
	hook := m.hook
	m.mu.Unlock()
	if hook != nil {
		hook(name, done)
	}
}

func elements(name string) []string {
	clean := strings.Trim(path.Clean("/"+name), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

func (m *Memory) findLocked(name string) *node {
	n := m.root
	for _, element := range elements(name) {
		if n == nil || !n.dir {
			return nil
		}
		n = n.names[element]
	}
	return n
}

// parentLocked gives the directory of a name and the name's last element.
func (m *Memory) parentLocked(op, name string) (*node, string, error) {
	all := elements(name)
	if len(all) == 0 {
		return nil, "", &os.PathError{Op: op, Path: name, Err: os.ErrInvalid}
	}
	last := all[len(all)-1]
	dir := m.findLocked(strings.Join(all[:len(all)-1], "/"))
	if dir == nil || !dir.dir {
		return nil, "", &os.PathError{Op: op, Path: name, Err: os.ErrNotExist}
	}
	return dir, last, nil
}

func (d *node) put(name string, n *node) {
	d.names[name] = n
	d.moves = append(d.moves, move{set: name, node: n})
}

func (d *node) drop(name string) {
	delete(d.names, name)
	d.moves = append(d.moves, move{drop: name})
}

// OpenFile implements FS.
func (m *Memory) OpenFile(name string, flag int, _ os.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, last, err := m.parentLocked("open", name)
	if err != nil {
		return nil, err
	}
	n := dir.names[last]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	case n == nil:
		n = &node{}
		dir.put(last, n)
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrExist}
	case n.dir:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrInvalid}
	case flag&os.O_TRUNC != 0:
		n.truncate(0)
	}
	return &memoryFile{fs: m, node: n, name: name}, nil
}

// MkdirAll implements FS.
func (m *Memory) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, element := range elements(name) {
		next := n.names[element]
		if next == nil {
			next = newDir()
			n.put(element, next)
		}
		if !next.dir {
			return &os.PathError{Op: "mkdir", Path: name, Err: os.ErrExist}
		}
		n = next
	}
	return nil
}

// Remove implements FS.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, last, err := m.parentLocked("remove", name)
	if err != nil {
		return err
	}
	n := dir.names[last]
	if n == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	if n.dir && len(n.names) > 0 {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrInvalid}
	}
	dir.drop(last)
	return nil
}

// RemoveAll implements FS.
func (m *Memory) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, last, err := m.parentLocked("remove", name)
	if err != nil || dir.names[last] == nil {
		return nil
	}
	dir.names[last].clear()
	dir.drop(last)
	return nil
}

func (d *node) clear() {
	for name, n := range d.names {
		n.clear()
		d.drop(name)
	}
}

// Rename implements FS.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fromDir, fromLast, err := m.parentLocked("rename", from)
	if err != nil {
		return err
	}
	toDir, toLast, err := m.parentLocked("rename", to)
	if err != nil {
		return err
	}
	n := fromDir.names[fromLast]
	if n == nil {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	if fromDir != toDir {
		fromDir.drop(fromLast)
		toDir.put(toLast, n)
		return nil
	}
	delete(fromDir.names, fromLast)
	fromDir.names[toLast] = n
	fromDir.moves = append(fromDir.moves, move{drop: fromLast, set: toLast, node: n})
	return nil
}

// ReadDir implements FS.
func (m *Memory) ReadDir(name string) ([]Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.findLocked(name)
	if dir == nil || !dir.dir {
		return nil, &os.PathError{Op: "list", Path: name, Err: os.ErrNotExist}
	}
	infos := make([]Info, 0, len(dir.names))
	for entry, n := range dir.names {
		infos = append(infos, Info{Name: entry, Bytes: int64(len(n.content)), Dir: n.dir})
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// Stat implements FS.
func (m *Memory) Stat(name string) (Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(name)
	if n == nil {
		return Info{}, &os.PathError{Op: "stat", Path: name, Err: os.ErrNotExist}
	}
	return Info{Name: path.Base(name), Bytes: int64(len(n.content)), Dir: n.dir}, nil
}

// SyncDir implements FS.
func (m *Memory) SyncDir(name string) error {
	m.synced(name, false)
	err := m.syncDir(name)
	m.synced(name, true)
	return err
}

func (m *Memory) syncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.findLocked(name)
	if dir == nil || !dir.dir {
		return &os.PathError{Op: "sync directory", Path: name, Err: os.ErrNotExist}
	}
	clear(dir.durableNames)
	for entry, n := range dir.names {
		dir.durableNames[entry] = n
	}
	dir.moves = nil
	return nil
}

type memoryFile struct {
	fs     *Memory
	node   *node
	name   string
	closed bool // guarded by fs.mu
}

func (f *memoryFile) openLocked(op string) error {
	if f.closed {
		return &os.PathError{Op: op, Path: f.name, Err: os.ErrClosed}
	}
	return nil
}

func (f *memoryFile) ReadAt(b []byte, position int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.openLocked("read"); err != nil {
		return 0, err
	}
	if position >= int64(len(f.node.content)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.content[position:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(b []byte, position int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.openLocked("write"); err != nil {
		return 0, err
	}
	data := slices.Clone(b)
	f.node.content = apply(f.node.content, position, data)
	f.node.writes = append(f.node.writes, change{position, data})
	return len(b), nil
}

func (f *memoryFile) WritevAt(buffers [][]byte, position int64) (int64, error) {
	n, err := f.WriteAt(slices.Concat(buffers...), position)
	return int64(n), err
}

func (f *memoryFile) WriteColdAt(buffers [][]byte, position int64) (int64, error) {
	return f.WritevAt(buffers, position)
}

func (f *memoryFile) Truncate(bytes int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.openLocked("truncate"); err != nil {
		return err
	}
	f.node.truncate(bytes)
	return nil
}

func (n *node) truncate(bytes int64) {
	n.content = resize(n.content, bytes)
	n.writes = append(n.writes, change{position: bytes})
}

func (f *memoryFile) Sync() error {
	f.fs.synced(f.name, false)
	err := f.sync()
	f.fs.synced(f.name, true)
	return err
}

func (f *memoryFile) sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.openLocked("sync"); err != nil {
		return err
	}
	for _, c := range f.node.writes {
		f.node.durable = c.apply(f.node.durable)
	}
	f.node.writes = nil
	return nil
}

func (f *memoryFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.content)), f.openLocked("stat")
}

func (f *memoryFile) Fd() (uintptr, bool) { return 0, false }

func (f *memoryFile) Forget(position int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.forget(position)
}

// forget lets the content be what is durable, with the writes that are still to come. Kernels work by pages; bytes do here.
func (n *node) forget(position int64) {
	fresh := slices.Clone(n.durable)
	for _, c := range n.writes {
		fresh = c.apply(fresh)
	}
	fresh = resize(fresh, int64(len(n.content)))
	if position < int64(len(n.content)) {
		copy(n.content[position:], fresh[position:])
	}
}

// loseWrites is what a kernel may do when a sync fails: the pages count as clean, as if they had reached the disk.
func (f *memoryFile) loseWrites() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	length := int64(len(f.node.content))
	f.node.writes = nil
	f.node.durable = resize(f.node.durable, length)
}

func (f *memoryFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.openLocked("close")
	f.closed = true
	return err
}

func (c change) apply(content []byte) []byte {
	if c.data == nil {
		return resize(content, c.position)
	}
	return apply(content, c.position, c.data)
}

// apply writes data over content, with zeros between the old end and position.
func apply(content []byte, position int64, data []byte) []byte {
	if end := position + int64(len(data)); end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[position:], data)
	return content
}

func resize(content []byte, bytes int64) []byte {
	if bytes <= int64(len(content)) {
		return content[:bytes]
	}
	old := len(content)
	content = slices.Grow(content, int(bytes)-old)[:bytes]
	clear(content[old:])
	return content
}
