package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes prints a size in binary units with three digits or so: 512 B, 1.5 KiB, 12.0 MiB.
func Bytes(n int64) string {
	if n < 0 {
		return "-"
	}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for value >= 1024 && i < len(units)-1 {
		value /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}

// Count prints n with commas: 1,234,567.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural is "1 record", "2 records".
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Time prints milliseconds since 1970 in UTC; "-" for a time that is not known (below zero).
func Time(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// Elapsed rounds a duration to what a human reads: 1.23s, 45ms, 2m3s.
func Elapsed(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// ParseSpan reads a duration as time.ParseDuration does, and also days and weeks: 7d, 2w, 1d12h.
func ParseSpan(s string) (time.Duration, error) {
	var total time.Duration
	rest := s
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		total += time.Duration(n * float64(unit.length))
		rest = after
	}
	if rest == "" && s != "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return total + d, nil
}

// Pair splits key=value; the value may be empty and may contain "=".
func Pair(s string) (key, value string, err error) {
	key, value, found := strings.Cut(s, "=")
	if !found || strings.TrimSpace(key) == "" {
		return "", "", Usagef("%q: write it as name=value", s)
	}
	return strings.TrimSpace(key), value, nil
}

// Unescape reads \n, \r, \t, \0, \\ and \xNN in a flag's value.
func Unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", Usagef("%q ends in a lone backslash", s)
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case 'x':
			if i+2 >= len(s) {
				return "", Usagef("%q: \\x needs two hexadecimal digits", s)
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", Usagef("%q: \\x needs two hexadecimal digits", s)
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", Usagef(`%q: \%c is not an escape (use \n \r \t \0 \\ \xNN)`, s, s[i])
		}
	}
	return b.String(), nil
}

// ParsePartitions reads "0,3,5-7".
func ParsePartitions(s string) ([]int32, error) {
	var out []int32
	seen := map[int32]bool{}
	for _, part := range strings.Split(s, ",") {
		low, high, ranged := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.ParseInt(low, 10, 32)
		last := first
		if err == nil && ranged {
			last, err = strconv.ParseInt(high, 10, 32)
		}
		if err != nil || first < 0 || last < first || last-first > 100_000 {
			return nil, Usagef("%q is not a list of partitions: write 0 or 0,3,5-7", s)
		}
		for p := int32(first); p <= int32(last); p++ {
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// Offset prints an offset, or an epoch; what is negative is not known.
func Offset(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}
