package config

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Listener is an address of this node and what is spoken there.
type Listener struct {
	Name     string // PLAINTEXT, EXTERNAL, ... in capitals
	Host     string // "" or a wildcard address: every interface
	Port     int    // 0: any free port (an advertised 0 means: the one that was bound)
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
}

// Addr is host:port, for net.Listen.
func (l Listener) Addr() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

func (l Listener) String() string { return l.Name + "://" + l.Addr() }

// Voter is one of the nodes that vote on the cluster's metadata.
type Voter struct {
	ID   int32
	Host string
	Port int
}

// Addr is host:port.
func (v Voter) Addr() string { return net.JoinHostPort(v.Host, strconv.Itoa(v.Port)) }

// parseListener reads NAME://host:port. The host may be empty; an IPv6 address is in brackets.
func parseListener(text string) (Listener, error) {
	name, address, found := strings.Cut(text, "://")
	if !found {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port", text)
	}
	if name = strings.ToUpper(strings.TrimSpace(name)); name == "" {
		return Listener{}, fmt.Errorf("%q has no name before ://", text)
	}
	host, port, err := parseAddress(address)
	if err != nil {
		return Listener{}, fmt.Errorf("%q: %w", text, err)
	}
	return Listener{Name: name, Host: host, Port: port}, nil
}

func parseAddress(address string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(strings.TrimSpace(address))
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", address)
	}
	if strings.ContainsAny(host, " /@") {
		return "", 0, fmt.Errorf("%q is no host name", host)
	}
	if port, err = strconv.Atoi(portText); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q is no port number from 0 to 65535", portText)
	}
	return host, port, nil
}

func parseVoter(text string) (Voter, error) {
	id, address, found := strings.Cut(text, "@")
	if !found {
		return Voter{}, fmt.Errorf("%q is not id@host:port", text)
	}
	node, err := strconv.ParseInt(strings.TrimSpace(id), 10, 32)
	if err != nil || node < 0 {
		return Voter{}, fmt.Errorf("%q: %q is no node id", text, id)
	}
	host, port, err := parseAddress(address)
	if err != nil {
		return Voter{}, fmt.Errorf("%q: %w", text, err)
	}
	if host == "" || port == 0 {
		return Voter{}, fmt.Errorf("%q: other nodes need a host and a port", text)
	}
	return Voter{ID: int32(node), Host: host, Port: port}, nil
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// listening fills in everything that has to do with listeners and voters. Each problem is reported; it goes on after each.
func (s *Server) listening(v *values) {
	protocols := v.protocolMap()
	var controllers []string
	for _, name := range v.list("controller.listener.names") {
		controllers = append(controllers, strings.ToUpper(name))
	}
	all := v.listeners("listeners", protocols, controllers)
	advertised := v.listeners("advertised.listeners", protocols, controllers)
	for _, name := range controllers {
		if !has(all, name) && s.Controller {
			v.problem("controller.listener.names", "names %s, which is not in listeners", name)
		}
	}
	for _, l := range advertised {
		if !has(all, l.Name) {
			v.problem("advertised.listeners", "%s has no listener of that name in listeners", l)
		}
	}
	for _, l := range all {
		if slices.Contains(controllers, l.Name) {
			s.ControllerListeners = append(s.ControllerListeners, l)
			continue
		}
		s.Listeners = append(s.Listeners, l)
		s.AdvertisedListeners = append(s.AdvertisedListeners, v.advertise(l, advertised))
	}
	switch {
	case len(v.list("listeners")) == 0:
		v.problem("listeners", "is empty")
	case s.Broker && len(s.Listeners) == 0 && len(all) > 0:
		v.problem("listeners", "every listener is a controller's; clients need one too")
	}
	s.interBroker(v)
	s.quorum(v)
	s.nodes(advertised)
}

// nodes settles where nodes reach each other. Among the voters' addresses, this node's own is what the others were told.
func (s *Server) nodes(advertised []Listener) {
	var clients, told Listener // the inter-broker listener
	for i, l := range s.Listeners {
		if l.Name == s.InterBrokerListener {
			clients, told = l, s.AdvertisedListeners[i]
		}
	}
	s.NodeListener = Listener{Name: "barnabas.node", Host: clients.Host, Protocol: "PLAINTEXT"}
	if len(s.ControllerListeners) > 0 {
		s.NodeListener = s.ControllerListeners[0]
	}
	s.AdvertisedNode = s.NodeListener
	if wildcard(s.AdvertisedNode.Host) || len(s.ControllerListeners) == 0 {
		s.AdvertisedNode.Host = told.Host
	}
	for _, a := range advertised {
		if a.Name == s.NodeListener.Name {
			s.AdvertisedNode = a
		}
	}
	for _, voter := range s.Voters {
		if voter.ID == s.NodeID {
			s.AdvertisedNode.Host, s.AdvertisedNode.Port = voter.Host, voter.Port
		}
	}
}

func has(listeners []Listener, name string) bool {
	return slices.ContainsFunc(listeners, func(l Listener) bool { return l.Name == name })
}

// protocolMap is listener.security.protocol.map.
func (v *values) protocolMap() map[string]string {
	const name = "listener.security.protocol.map"
	protocols := map[string]string{}
	for _, pair := range v.list(name) {
		listener, protocol, found := strings.Cut(pair, ":")
		listener, protocol = strings.ToUpper(strings.TrimSpace(listener)), strings.ToUpper(strings.TrimSpace(protocol))
		switch {
		case !found || listener == "":
			v.problem(name, "%q is not NAME:PROTOCOL", pair)
		case !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol):
			v.problem(name, "%q: the protocol is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", pair)
		default:
			protocols[listener] = protocol
		}
	}
	return protocols
}

// listeners parses a list of listeners and checks them among themselves.
func (v *values) listeners(name string, protocols map[string]string, controllers []string) []Listener {
	var all []Listener
	for _, text := range v.list(name) {
		l, err := parseListener(text)
		if err != nil {
			v.problem(name, "%v", err)
			continue
		}
		if has(all, l.Name) {
			v.problem(name, "%s is there twice", l.Name)
			continue
		}
		l.Protocol = protocols[l.Name]
		if l.Protocol == "" && slices.Contains(controllers, l.Name) {
			l.Protocol = "PLAINTEXT"
		}
		switch {
		case name != "listeners": // the name has to be there as well, and is checked there
		case l.Protocol == "":
			v.problem(name, "%s has no security protocol; add %s:PLAINTEXT to listener.security.protocol.map", l, l.Name)
		case l.Protocol != "PLAINTEXT":
			v.problem(name, "%s is %s, which this version does not serve yet", l, l.Protocol)
		}
		for _, other := range all {
			if name == "listeners" && l.Port != 0 && other.Port == l.Port && (other.Host == l.Host || wildcard(other.Host) || wildcard(l.Host)) {
				v.problem(name, "%s and %s are on the same port", other, l)
			}
		}
		all = append(all, l)
	}
	return all
}

// advertise is the address that clients of l are told.
func (v *values) advertise(l Listener, advertised []Listener) Listener {
	for _, a := range advertised {
		if a.Name == l.Name {
			if wildcard(a.Host) {
				v.problem("advertised.listeners", "%s: clients cannot connect to every interface; give a host that they can reach", a)
			}
			return a
		}
	}
	switch {
	case l.Host == "":
		if host, err := os.Hostname(); err == nil {
			l.Host = host
		}
	case wildcard(l.Host):
		v.problem("listeners", "%s: clients cannot connect to every interface; say in advertised.listeners where they can, for example %s://localhost:%d",
			l, l.Name, l.Port)
	}
	return l
}

func (s *Server) interBroker(v *values) {
	name := strings.ToUpper(v.get("inter.broker.listener.name"))
	switch {
	case name == "" && len(s.Listeners) > 0:
		name = s.Listeners[0].Name
	case name != "" && !has(s.Listeners, name):
		v.problem("inter.broker.listener.name", "names %s, which is not among the client listeners", name)
	}
	s.InterBrokerListener = name
	if protocol := v.get("security.inter.broker.protocol"); protocol != "PLAINTEXT" {
		v.problem("security.inter.broker.protocol", "is %s, which this version does not serve yet", protocol)
	}
}

// quorum reads who votes. Without any word on it, this node is alone.
func (s *Server) quorum(v *values) {
	seen := map[int32]bool{}
	for _, text := range v.list("controller.quorum.voters") {
		voter, err := parseVoter(text)
		switch {
		case err != nil:
			v.problem("controller.quorum.voters", "%v", err)
		case seen[voter.ID]:
			v.problem("controller.quorum.voters", "node %d is there twice", voter.ID)
		default:
			seen[voter.ID] = true
			s.Voters = append(s.Voters, voter)
		}
	}
	for _, address := range v.list("controller.quorum.bootstrap.servers") {
		if _, _, err := parseAddress(address); err != nil {
			v.problem("controller.quorum.bootstrap.servers", "%v", err)
			continue
		}
		s.BootstrapServers = append(s.BootstrapServers, address)
	}
	switch {
	case len(s.Voters) > 0 && s.Controller && !seen[s.NodeID]:
		v.problem("controller.quorum.voters", "node %d is a controller but not among the voters", s.NodeID)
	case len(s.Voters) > 0 && !s.Controller && seen[s.NodeID]:
		v.problem("process.roles", "node %d is among controller.quorum.voters but has no controller role", s.NodeID)
	case len(s.Voters) == 0 && !s.Controller:
		v.problem("process.roles", "a node without the controller role needs controller.quorum.voters=id@host:port,..., the same as the controllers have")
	case len(s.Voters) == 0 && s.Controller && len(s.BootstrapServers) > 1:
		v.problem("controller.quorum.bootstrap.servers", "names several nodes without their ids; use controller.quorum.voters=id@host:port,...")
	}
	if len(s.Voters) > 1 && s.Controller && len(s.ControllerListeners) == 0 {
		v.problem("controller.listener.names", "is needed when there are other voters: it names the listener that nodes reach each other on")
	}
}

// Alone says whether this node is the whole cluster.
func (s *Server) Alone() bool {
	return s.Controller && len(s.Voters) <= 1 && len(s.BootstrapServers) <= 1
}
