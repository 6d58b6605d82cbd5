package cli

import (
	"sort"
	"strings"
)

// Nearest gives at most most of the names that look like what was typed, the best first: a few letters wrong, missing, added or
// swapped, another case, or a part of the name.
func Nearest(typed string, names []string, most int) []string {
	type scored struct {
		name  string
		score int
	}
	var found []scored
	want := strings.ToLower(typed)
	for _, name := range names {
		have := strings.ToLower(name)
		limit := max(1, (len([]rune(want))+1)/3)
		d := distance(want, have)
		switch {
		case d <= limit:
			found = append(found, scored{name, d})
		case len(want) >= 3 && (strings.Contains(have, want) || strings.Contains(want, have) && len(have) >= 3):
			found = append(found, scored{name, limit + 1})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].score != found[j].score {
			return found[i].score < found[j].score
		}
		return found[i].name < found[j].name
	})
	var out []string
	for _, f := range found[:min(most, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// distance counts insertions, deletions, substitutions and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

// DidYouMean is a hint from the names that exist, with where to look when none is near.
func DidYouMean(typed string, names []string, otherwise string) string {
	near := Nearest(typed, names, 3)
	if len(near) == 0 {
		return otherwise
	}
	for i := range near {
		near[i] = `"` + near[i] + `"`
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}
