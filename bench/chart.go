package main

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/barnabas-log/barnabas/bench/load"
)

// charts draws what was measured: throughput, processor time and latency, those of them that there is something to say about.
func (r *report) charts() map[string][]byte {
	all := map[string][]byte{}
	draw := func(name string, c *chart) {
		if c.rows() > 0 {
			all[name] = c.svg()
		}
	}
	caption := fmt.Sprintf("%s · %s, %d cores · commit %s · %s", r.At.Format("2006-01-02"), r.Machine.CPU, r.Machine.Cores, r.Commit, r.Command)
	draw("throughput", r.chart("Throughput, MB/s", caption, false, func(m *load.Outcome) []bar {
		if m.Ack != nil || m.Bytes == 0 {
			return nil // the rate was given
		}
		return []bar{{"", m.Throughput}}
	}))
	draw("cpu", r.chart("Processor time of the servers, seconds per GB (less is better)", caption, true, func(m *load.Outcome) []bar {
		if m.Ack != nil || m.CPUPerGB == 0 {
			return nil
		}
		return []bar{{"", m.CPUPerGB}}
	}))
	percentiles := func(p *load.Percentiles) []bar {
		if p == nil {
			return nil
		}
		return []bar{{"p50", p.P50 / 1e3}, {"p99", p.P99 / 1e3}, {"p99.9", p.P999 / 1e3}}
	}
	draw("ack", r.chart("Time until acknowledged, ms, from when the record was due (less is better)", caption, true, func(m *load.Outcome) []bar { return percentiles(m.Ack) }))
	draw("end-to-end", r.chart("Time until read, ms, from when the record was due (less is better)", caption, true, func(m *load.Outcome) []bar { return percentiles(m.EndToEnd) }))
	return all
}

// chart is horizontal bars in groups.
type chart struct {
	title, caption string
	logarithmic    bool
	groups         []group
}

type group struct {
	title string
	lines []chartLine
}

type chartLine struct {
	title string
	ours  bool
	bars  []bar
}

type bar struct {
	label string
	value float64
}

// chart gathers what pick finds in each result.
func (r *report) chart(title, caption string, logarithmic bool, pick func(*load.Outcome) []bar) *chart {
	c := &chart{title: title, caption: caption, logarithmic: logarithmic}
	titles := map[string]string{}
	for _, s := range r.Systems {
		titles[s.Name] = s.Title
	}
	for _, one := range r.Results {
		if one.Median == nil {
			continue
		}
		bars := pick(one.Median)
		if len(bars) == 0 {
			continue
		}
		name := one.Workload + ": " + describe(one.Spec)
		if n := len(c.groups); n == 0 || c.groups[n-1].title != name {
			c.groups = append(c.groups, group{title: name})
		}
		g := &c.groups[len(c.groups)-1]
		g.lines = append(g.lines, chartLine{titles[one.System], strings.HasPrefix(one.System, "barnabas"), bars})
	}
	return c
}

func (c *chart) rows() (n int) {
	for _, g := range c.groups {
		for _, l := range g.lines {
			n += len(l.bars)
		}
	}
	return n
}

// Sizes in pixels.
const (
	chartWidth, labelWidth, valueWidth = 960, 250, 80
	rowHeight, groupGap                = 20, 34
)

// svg draws each group on a scale of its own; bars of different groups are not to be compared.
func (c *chart) svg() []byte {
	var body strings.Builder
	y := 54
	text := func(x, y, size int, anchor, color, s string) {
		fmt.Fprintf(&body, "<text x=\"%d\" y=\"%d\" font-size=\"%d\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y, size, anchor, color, html.EscapeString(s))
	}
	text(16, 28, 18, "start", "#222", c.title)
	for _, g := range c.groups {
		y += groupGap - rowHeight/2
		text(16, y, 13, "start", "#222", g.title)
		y += 8
		scale := c.scale(g)
		for _, l := range g.lines {
			for i, b := range l.bars {
				label := b.label
				if i == 0 {
					label = strings.TrimSpace(l.title + "  " + b.label)
				}
				color := "#9aa5b1"
				if l.ours {
					color = "#c2571a"
				}
				width := max(1, int(scale(b.value)*(chartWidth-labelWidth-valueWidth-32)))
				text(16+labelWidth-8, y+14, 12, "end", "#444", label)
				fmt.Fprintf(&body, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\" fill=\"%s\" fill-opacity=\"%.2f\"/>\n", 16+labelWidth, y+2, width, rowHeight-4, color,
					1-0.25*float64(i))
				text(16+labelWidth+width+6, y+14, 12, "start", "#222", figure(b.value))
				y += rowHeight
			}
		}
	}
	y += 28
	if c.logarithmic {
		text(16, y, 11, "start", "#777", "Logarithmic scale, of its own for each group.")
		y += 16
	}
	text(16, y, 11, "start", "#777", c.caption)
	y += 16
	return fmt.Appendf(nil, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n%s</svg>\n",
		chartWidth, y, chartWidth, y, body.String())
}

// scale maps values of a group to 0..1.
func (c *chart) scale(g group) func(float64) float64 {
	least, most := math.Inf(1), 0.0
	for _, l := range g.lines {
		for _, b := range l.bars {
			least, most = min(least, b.value), max(most, b.value)
		}
	}
	if most <= 0 {
		return func(float64) float64 { return 0 }
	}
	if !c.logarithmic || least <= 0 {
		return func(v float64) float64 { return v / most }
	}
	from := math.Log10(least) - 0.3
	return func(v float64) float64 { return (math.Log10(v) - from) / (math.Log10(most) - from) }
}

// figure is a value with three digits that count.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
