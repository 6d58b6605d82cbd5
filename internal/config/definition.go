package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is Kafka's number of a configuration's type, as DescribeConfigs reports it.
type Type int8

// The types.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

func (t Type) String() string {
	return [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}[t]
}

// Effect says what this server does with a configuration.
type Effect int8

const (
	// Acted: the server does what the configuration says.
	Acted Effect = iota
	// Later: accepted, checked and described, but nothing follows from it yet.
	Later
	// Meaningless: accepted because Kafka has it; this design has nothing that it could apply to.
	Meaningless
)

func (e Effect) String() string { return [...]string{"yes", "not yet", "no meaning here"}[e] }

// Definition is one configuration: a row of the table.
type Definition struct {
	Name    string
	Type    Type
	Default string
	NoValue bool // nothing is the default (Kafka's null), and Default is empty
	Doc     string
	Effect  Effect
	Note    string // where Effect needs a word, or a default differs from Kafka's
	// Synonyms are the server configurations that a value is inherited from, in order of precedence.
	Synonyms []Synonym
	// Dynamic says that a broker's value may be changed at run time.
	Dynamic bool
	// Hidden names are accepted from old tools but are no longer part of Kafka, and are not described.
	Hidden    bool
	Sensitive bool

	section string // of the documentation
	check   check
}

// Synonym is another name of a configuration. Unit is what its value is multiplied by (3,600,000 for hours where milliseconds are meant).
type Synonym struct {
	Name string
	Unit int64
}

// check is a bound on a parsed value. The error says which, in Kafka's words.
type check struct {
	allowed string // for the documentation
	verify  func(value string) error
}

// Validate checks a value of this configuration. The error is Kafka's message.
func (d *Definition) Validate(value string) error {
	trimmed := strings.TrimSpace(value)
	if err := d.parse(trimmed); err != nil {
		return d.invalid(value, err)
	}
	if d.check.verify != nil {
		if err := d.check.verify(trimmed); err != nil {
			return d.invalid(value, err)
		}
	}
	return nil
}

func (d *Definition) invalid(value string, reason error) error {
	if d.Sensitive {
		value = "[hidden]"
	}
	return kafka("Invalid value %s for configuration %s: %w", value, d.Name, reason)
}

func (d *Definition) parse(value string) error {
	var err error
	switch d.Type {
	case Boolean:
		_, err = parseBool(value)
		return err
	case Int:
		_, err = strconv.ParseInt(value, 10, 32)
	case Short:
		_, err = strconv.ParseInt(value, 10, 16)
	case Long:
		_, err = strconv.ParseInt(value, 10, 64)
	case Double:
		var number float64
		number, err = strconv.ParseFloat(value, 64)
		if math.IsNaN(number) || math.IsInf(number, 0) {
			err = strconv.ErrRange
		}
	}
	if err != nil {
		return kafka("Not a number of type %s", d.Type)
	}
	return nil
}

// kafka is an error in Kafka's own words, which clients and their users know.
func kafka(format string, args ...any) error { return fmt.Errorf(format, args...) }

func parseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, kafka("Expected value to be either true or false")
}

// splitList are the elements of a LIST, trimmed, without empty ones.
func splitList(value string) []string {
	var elements []string
	for element := range strings.SplitSeq(value, ",") {
		if element = strings.TrimSpace(element); element != "" {
			elements = append(elements, element)
		}
	}
	return elements
}

// number is for values that parse has accepted.
func number(value string) float64 {
	n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return n
}

func atLeast(low int64) check {
	return check{fmt.Sprintf("at least %d", low), func(value string) error {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n < low {
			return kafka("Value must be at least %d", low)
		}
		return nil
	}}
}

func between(low, high float64) check {
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	return check{fmt.Sprintf("%s to %s", text(low), text(high)), func(value string) error {
		n := number(value)
		if n < low {
			return kafka("Value must be at least %s", text(low))
		}
		if n > high {
			return kafka("Value must be no more than %s", text(high))
		}
		return nil
	}}
}

func oneOf(values ...string) check {
	return check{strings.Join(values, ", "), func(value string) error {
		if !slices.Contains(values, value) {
			return kafka("String must be one of: %s", strings.Join(values, ", "))
		}
		return nil
	}}
}

// someOf is for lists: any selection of values, none twice.
func someOf(values ...string) check {
	return check{"a list of " + strings.Join(values, ", "), func(value string) error {
		elements := splitList(value)
		for i, e := range elements {
			if !slices.Contains(values, e) {
				return kafka("String must be one of: %s", strings.Join(values, ", "))
			}
			if slices.Contains(elements[:i], e) {
				return fmt.Errorf("values must not be duplicated")
			}
		}
		return nil
	}}
}

func notEmpty() check {
	return check{"not empty", func(value string) error {
		if value == "" {
			return kafka("String must be non-empty")
		}
		return nil
	}}
}

// gzipLevel allows -1 (the codec's default) and 1 to 9, but not 0.
func gzipLevel() check {
	return check{"-1, 1 to 9", func(value string) error {
		if n := number(value); n != -1 && (n < 1 || n > 9) {
			return kafka("Value must be between 1 and 9 or equal to -1")
		}
		return nil
	}}
}

// throttledReplicas is "*" or partition:broker pairs.
func throttledReplicas() check {
	return check{"* or partition:broker,...", func(value string) error {
		for _, pair := range splitList(value) {
			if pair == "*" && value == "*" {
				continue
			}
			partition, broker, found := strings.Cut(pair, ":")
			if _, err := strconv.ParseUint(partition, 10, 31); !found || err != nil {
				return errThrottled
			}
			if _, err := strconv.ParseUint(broker, 10, 31); err != nil {
				return errThrottled
			}
		}
		return nil
	}}
}

var errThrottled = kafka("must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")

// Allowed describes the values that are accepted; empty when the type says it all.
func (d *Definition) Allowed() string { return d.check.allowed }

// index is a table by name. Building it checks that the table agrees with itself.
func index(table []*Definition) map[string]*Definition {
	byName := make(map[string]*Definition, len(table))
	for _, d := range table {
		byName[d.Name] = d
	}
	return byName
}
