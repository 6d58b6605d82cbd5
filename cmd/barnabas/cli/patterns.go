package cli

import "path"

// Patterns are names as a user gives them, with * and ? as in file names. None at all stand for everything.
type Patterns []string

// Check says which pattern is none.
func (ps Patterns) Check() error {
	for _, p := range ps {
		if _, err := path.Match(p, ""); err != nil {
			return Usagef("%q is not a pattern: %w", p, err)
		}
	}
	return nil
}

// Match says whether a name is meant.
func (ps Patterns) Match(name string) bool {
	for _, p := range ps {
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return len(ps) == 0
}
