package protocol

import (
	"sync"
	"time"
)

// maxComplaints is how many lines a second the log takes of clients that send what makes no sense.
const maxComplaints = 10

// complaints counts those lines.
type complaints struct {
	mu sync.Mutex
	// mu guards following.
	second int64
	count  int
}

// allow says whether one more line is within bounds.
func (c *complaints) allow(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if second := now.Unix(); second != c.second {
		c.second, c.count = second, 0
	}
	c.count++
	return c.count <= maxComplaints
}
