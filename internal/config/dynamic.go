package config

import (
	"fmt"
	"strings"
)

// RequestError is a refusal that Kafka answers with INVALID_REQUEST, where other bad configurations are INVALID_CONFIG.
type RequestError struct{ Reason string }

func (e *RequestError) Error() string { return e.Reason }

// KafkaCode is INVALID_REQUEST.
func (e *RequestError) KafkaCode() int16 { return 42 }

// ValidateBroker checks what is to be set on a broker, or on all, at run time: values is all that would be set, changed the names that the request sets or removes.
// A configuration that can only be set at start is refused, as are unknown ones.
func ValidateBroker(values map[string]string, changed []string) error {
	var fixed []string
	for _, name := range changed {
		d := serverIndex[name]
		switch {
		case d == nil && (ignoredReason(name) != "" || refusedNames[name] != ""):
			fixed = append(fixed, name)
		case d == nil:
			message := "Unknown broker config name: " + name
			if near := nearest(name, sortedNames(serverIndex)); near != "" {
				message += "; did you mean " + near + "?"
			}
			return fmt.Errorf("%s", message)
		case !d.Dynamic:
			fixed = append(fixed, name)
		}
	}
	if len(fixed) > 0 {
		return &RequestError{"Cannot update these configs dynamically: Set(" + strings.Join(fixed, ", ") + ")"}
	}
	for _, name := range changed {
		if value, isSet := values[name]; isSet {
			if err := serverIndex[name].Validate(value); err != nil {
				return &RequestError{err.Error()}
			}
		}
	}
	return nil
}

// BrokerList says whether a broker configuration is a list, and what it is where nothing was set.
func BrokerList(name string) (fallback string, list bool) {
	d := serverIndex[name]
	if d == nil || d.Type != List {
		return "", false
	}
	return d.Default, true
}
