package partition

import (
	"errors"

	"github.com/barnabas-log/barnabas/log"
)

// Segments lists the segments of the log, oldest first.
func (p *Partition) Segments() []log.SegmentInfo { return p.log.Segments() }

// Doubted lists the segments with an index file that has turned out to be damaged.
func (p *Partition) Doubted() []log.Offset { return p.log.Doubted() }

// Scrub reads the segment that begins at base and checks it, see log.Scrub. Damage is told to Options.Suspect as well. A segment that is gone is no error.
func (p *Partition) Scrub(base log.Offset, throttle func(bytes int) error) (log.Scrubbed, error) {
	done, err := p.log.Scrub(base, throttle)
	switch {
	case errors.Is(err, log.ErrNotFound), errors.Is(err, log.ErrClosed):
		return done, nil
	case errors.Is(err, log.ErrCorrupt):
		p.suspect(err)
	}
	return done, err
}
