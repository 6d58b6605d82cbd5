package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// property is one assignment of a .properties file.
type property struct {
	name, value string
	line        int // where it begins, from 1
}

// parseProperties reads the format of Java's .properties files: `name=value`, `name: value` or `name value`, comments with # or !, lines continued with a
// backslash, escapes \t \n \r \f \uXXXX and \ before anything else. The file is taken as UTF-8.
func parseProperties(text string) ([]property, error) {
	var properties []property
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		start := i + 1
		logical := strings.TrimLeft(lines[i], " \t\f")
		if logical == "" || logical[0] == '#' || logical[0] == '!' {
			continue
		}
		for continued(logical) {
			logical = logical[:len(logical)-1]
			if i+1 == len(lines) {
				break
			}
			i++
			logical += strings.TrimLeft(lines[i], " \t\f")
		}
		name, value := splitProperty(logical)
		p := property{line: start}
		var err error
		if p.name, err = unescape(name); err != nil {
			return nil, fmt.Errorf("line %d: %w", start, err)
		}
		if p.value, err = unescape(value); err != nil {
			return nil, fmt.Errorf("line %d: %w", start, err)
		}
		if p.name == "" {
			return nil, fmt.Errorf("line %d: no name before %q", start, p.value)
		}
		properties = append(properties, p)
	}
	return properties, nil
}

// continued says whether a line ends in an odd number of backslashes.
func continued(line string) bool {
	trimmed := strings.TrimRight(line, `\`)
	return (len(line)-len(trimmed))%2 == 1
}

// splitProperty cuts at the first unescaped '=', ':' or blank; blanks around one separator belong to it.
func splitProperty(line string) (name, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' && end+1 < len(line) {
			end++
		}
		end++
	}
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return line[:end], value
}

func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		i++
		switch text[i] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		case 'u':
			character, used, err := unicodeEscape(text[i+1:])
			if err != nil {
				return "", err
			}
			out.WriteRune(character)
			i += used
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String(), nil
}

// unicodeEscape reads what follows \u: four hexadecimal digits, and a second escape where the two are a surrogate pair.
func unicodeEscape(text string) (character rune, used int, err error) {
	first, err := hexadecimal(text)
	if err != nil {
		return 0, 0, err
	}
	if utf16.IsSurrogate(first) && strings.HasPrefix(text[4:], `\u`) {
		if second, err := hexadecimal(text[6:]); err == nil {
			if pair := utf16.DecodeRune(first, second); pair != '\uFFFD' {
				return pair, 10, nil
			}
		}
	}
	return first, 4, nil
}

func hexadecimal(text string) (rune, error) {
	if len(text) < 4 {
		return 0, fmt.Errorf(`malformed \u escape %q`, text)
	}
	n, err := strconv.ParseUint(text[:4], 16, 16)
	if err != nil {
		return 0, fmt.Errorf(`malformed \u escape %q`, text[:4])
	}
	return rune(n), nil
}
