package group

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// Command is the noun with its verbs.
func Command(app *cli.App) *cobra.Command {
	return cli.Noun("group", "Inspect, move and delete consumer groups", newList(app), newDescribe(app), newSeek(app), newDelete(app))
}

// info is what is known of a group, whichever of the two protocols it uses.
type info struct {
	name        string
	protocol    string // classic or consumer
	state       string
	assignor    string
	coordinator int32
	members     []member
}

// member is one member of a group.
type member struct {
	ID         string             `json:"id"`
	InstanceID string             `json:"instanceId,omitempty"`
	ClientID   string             `json:"clientId"`
	Host       string             `json:"host"`
	Assignment map[string][]int32 `json:"assignment"`
}

// dead says that the coordinator knows nothing of the group: that is how brokers answer for a group that does not exist.
func (i info) dead() bool { return i.state == "Dead" || i.state == "" }

// active says that members are there, whose own commits would overwrite ours.
func (i info) active() bool { return len(i.members) > 0 }

// find describes a group. A group of the classic protocol is looked for first, then one of the next generation (KIP-848); ok is false when it is
// neither and has no committed offsets either.
func find(ctx context.Context, session *cli.Session, name string) (i info, commits kadm.OffsetResponses, ok bool, err error) {
	i, err = classic(ctx, session, name)
	if err != nil {
		return i, nil, false, err
	}
	if len(i.members) == 0 { // brokers answer for the other protocol's groups with "dead" or with an empty shell
		if next, found, err := nextGeneration(ctx, session, name); err != nil {
			return i, nil, false, err
		} else if found {
			i = next
		}
	}
	commits, err = session.Admin.FetchOffsets(ctx, name)
	if err == nil {
		err = commits.Error()
	}
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		commits = nil
	case err != nil:
		return i, nil, false, fmt.Errorf("read what group %q committed: %w", name, cli.Refused(err, ""))
	}
	for _, partitions := range commits {
		for p, o := range partitions {
			if o.At < 0 {
				delete(partitions, p)
			}
		}
	}
	return i, commits, !i.dead() || countOf(commits) > 0, nil
}

func countOf(commits kadm.OffsetResponses) int {
	n := 0
	for _, partitions := range commits {
		n += len(partitions)
	}
	return n
}

func classic(ctx context.Context, session *cli.Session, name string) (info, error) {
	i := info{name: name, protocol: "classic"}
	groups, err := session.Admin.DescribeGroups(ctx, name)
	if err != nil {
		return i, fmt.Errorf("describe group %q: %w", name, err)
	}
	g := groups[name]
	if errors.Is(g.Err, kerr.GroupIDNotFound) {
		return i, nil
	}
	if g.Err != nil {
		return i, fmt.Errorf("describe group %q: %w", name, cli.Refused(g.Err, g.ErrMessage))
	}
	i.state, i.assignor, i.coordinator = g.State, g.Protocol, g.Coordinator.NodeID
	for _, m := range g.Members {
		out := member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, Assignment: map[string][]int32{}}
		if m.InstanceID != nil {
			out.InstanceID = *m.InstanceID
		}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				out.Assignment[t.Topic] = append(out.Assignment[t.Topic], t.Partitions...)
			}
		}
		i.members = append(i.members, out)
	}
	return i, nil
}

func nextGeneration(ctx context.Context, session *cli.Session, name string) (info, bool, error) {
	i := info{name: name, protocol: "consumer"}
	groups, err := session.Admin.DescribeConsumerGroups(ctx, name)
	if err != nil {
		return i, false, nil // a broker that does not serve this protocol has no such groups
	}
	g := groups[name]
	switch {
	case errors.Is(g.Err, kerr.GroupIDNotFound), errors.Is(g.Err, kerr.UnsupportedVersion):
		return i, false, nil
	case g.Err != nil:
		return i, false, fmt.Errorf("describe group %q: %w", name, cli.Refused(g.Err, ""))
	case g.Group == "":
		return i, false, nil
	}
	i.state, i.assignor, i.coordinator = g.State, g.AssignorName, g.Coordinator.NodeID
	for _, m := range g.Members {
		out := member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, Assignment: map[string][]int32{}}
		if m.InstanceID != nil {
			out.InstanceID = *m.InstanceID
		}
		m.Assignment.EachPartitions(func(t string, ps []int32) {
			if t != "" { // some brokers give only the topic's id, which the client library drops
				out.Assignment[t] = ps
			}
		})
		i.members = append(i.members, out)
	}
	return i, true, nil
}

// assigned prints an assignment as orders:0,1 payments:2.
func assigned(a map[string][]int32) string {
	var topics []string
	for t := range a {
		topics = append(topics, t)
	}
	sort.Strings(topics)
	out := ""
	for _, t := range topics {
		partitions := append([]int32(nil), a[t]...)
		sort.Slice(partitions, func(i, j int) bool { return partitions[i] < partitions[j] })
		if out != "" {
			out += " "
		}
		out += t + ":" + cli.IDs(partitions)
	}
	return out
}
