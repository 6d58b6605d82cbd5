package broker

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/internal/vfs"
	"go.uber.org/zap"
)

// addressesName is the file, beside the metadata group's, that says where the other brokers listened for nodes last.
const addressesName = "nodes.json"

// addresses remembers across a restart where the brokers are found. The metadata say so too, but a voter that is not in controller.quorum.voters must be reached before
// there is a leader, and with that metadata that are known to be current.
type addresses struct {
	path   string
	logger *zap.Logger

	mu    sync.Mutex // guards following
	known map[int32]string
}

// open reads the file in dir. One that is missing or damaged costs nothing but what it held.
func (a *addresses) open(dir string, logger *zap.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.path, a.logger = filepath.Join(dir, addressesName), logger
	content, err := os.ReadFile(a.path)
	if err == nil {
		err = json.Unmarshal(content, &a.known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Warn("where the other nodes were found last is not known any more", zap.Error(err))
	}
}

func (a *addresses) find(id int32) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	address, ok := a.known[id]
	return address, ok
}

// note writes the file when the image says something else. Called by one goroutine.
func (a *addresses) note(image *metadata.Image) {
	next := map[int32]string{}
	for id, broker := range image.Brokers {
		if address, ok := registeredAddress(broker); ok {
			next[id] = address
		}
	}
	a.mu.Lock()
	same := maps.Equal(next, a.known)
	a.known = next
	a.mu.Unlock()
	if same || a.path == "" {
		return
	}
	content, err := json.Marshal(next)
	if err == nil {
		err = vfs.ReplaceFile(vfs.OS{}, a.path, content)
	}
	if err != nil {
		a.logger.Warn("where the other nodes are found could not be written down", zap.Error(err))
	}
}
