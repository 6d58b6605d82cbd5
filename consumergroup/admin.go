package consumergroup

import (
	"cmp"
	"slices"
)

// classicType is how ListGroups names a group of this protocol.
const classicType = "classic"

func (s *shard) list() []Listed {
	groups := make([]Listed, 0, len(s.groups))
	for _, g := range s.groups {
		groups = append(groups, Listed{Group: g.name, ProtocolType: g.protocolType, State: g.state.String(), Type: classicType})
	}
	slices.SortFunc(groups, func(a, b Listed) int { return cmp.Compare(a.Group, b.Group) })
	return groups
}

// describe tells of protocol, metadata and assignments only when the members have agreed on them.
func (s *shard) describe(name string) Described {
	g := s.groups[name]
	if g == nil {
		return Described{Code: codeGroupIDNotFound, Group: name, State: "Dead"}
	}
	d := Described{Group: name, State: g.state.String(), ProtocolType: g.protocolType}
	if g.state == stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.inOrder() {
		described := DescribedMember{ID: m.id, InstanceID: m.instance, ClientID: m.client.ID, ClientHost: m.client.Host}
		if g.state == stable {
			described.Metadata, described.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, described)
	}
	return d
}

func (s *shard) delete(name string) int16 {
	g := s.groups[name]
	switch {
	case g == nil:
		return codeGroupIDNotFound
	case g.state != empty:
		return codeNonEmptyGroup
	}
	for _, p := range g.committed(every) {
		s.dropOffset(g, p)
	}
	for _, t := range g.pending {
		t.stop()
	}
	s.endGroup(g)
	return codeNone
}
