package cli

import (
	"fmt"
	"time"
)

// Progress redraws one line on a terminal while long work goes on. It prints nothing during the first second, nothing when standard error is
// not a terminal, and at most four times a second. One goroutine uses it.
type Progress struct {
	app   *App
	start time.Time
	last  time.Time
	drawn bool
}

// NewProgress starts the clock.
func (a *App) NewProgress() *Progress { return &Progress{app: a, start: a.Now()} }

// Elapsed is the time since the start.
func (p *Progress) Elapsed() time.Duration { return p.app.Now().Sub(p.start) }

// Show draws the counts so far and the rate, if it is time to.
func (p *Progress) Show(records, bytes int64) {
	if !p.app.Terminal {
		return
	}
	now := p.app.Now()
	if now.Sub(p.start) < time.Second || now.Sub(p.last) < 250*time.Millisecond {
		return
	}
	p.last, p.drawn = now, true
	seconds := now.Sub(p.start).Seconds()
	fmt.Fprintf(p.app.Err, "\r\x1b[K%s, %s, %s/s", Plural(records, "record"), Bytes(bytes), Bytes(int64(float64(bytes)/seconds)))
}

// Clear removes the line, so that what follows starts on a clean one.
func (p *Progress) Clear() {
	if p.drawn {
		fmt.Fprint(p.app.Err, "\r\x1b[K")
		p.drawn = false
	}
}
