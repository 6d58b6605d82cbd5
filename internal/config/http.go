package config

import "strings"

const httpName = "barnabas.http.listener"

// addressOrNothing wants host:port, or nothing.
func addressOrNothing() check {
	return check{allowed: "host:port or nothing", verify: func(value string) error {
		if value == "" {
			return nil
		}
		_, _, err := parseAddress(value)
		return err
	}}
}

// http reads where HTTP is served. By default not on a port that a listener wants.
func (s *Server) http(v *values) {
	s.HTTP = strings.TrimSpace(v.get(httpName))
	_, isSet := v.set[httpName]
	s.HTTPAsked = isSet && v.origin[httpName] != imageOrigin
	if s.HTTP == "" {
		return
	}
	host, port, err := parseAddress(s.HTTP)
	if err != nil || port == 0 {
		return // the check has said so; a free port meets nobody
	}
	for _, l := range append(append([]Listener{s.NodeListener}, s.Listeners...), s.ControllerListeners...) {
		if l.Port != port || l.Host != host && !wildcard(l.Host) && !wildcard(host) {
			continue
		}
		if s.HTTPAsked {
			v.problem(httpName, "is on the same port as %s", l)
		}
		s.HTTP = ""
		return
	}
}
