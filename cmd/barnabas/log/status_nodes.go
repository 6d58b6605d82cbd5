package log

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/internal/admin"
)

const (
	// listenerName is the configuration that says where a node serves HTTP.
	listenerName = "barnabas.http.listener"
	// statusLimit bounds what is read of one node's answer.
	statusLimit = 1 << 30
	// askedAtOnce is how many nodes are asked at the same time.
	askedAtOnce = 8
)

// asked is a node to ask: its HTTP address, and its id if that is known, else -1.
type asked struct {
	id      int32
	address string
}

// fromNodes asks the nodes, and notes those that cannot be.
func fromNodes(ctx context.Context, app *cli.App, addresses string, wanted selection) (all []held, unasked int, err error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	var nodes []asked
	if addresses == "" {
		if nodes, err = listenersOf(ctx, app); err != nil {
			return nil, 0, err
		}
	} else {
		for address := range strings.SplitSeq(addresses, ",") {
			nodes = append(nodes, asked{-1, address})
		}
	}
	answers, problems := make([]admin.Node, len(nodes)), make([]error, len(nodes))
	var asking errgroup.Group
	asking.SetLimit(askedAtOnce)
	for k, n := range nodes {
		asking.Go(func() error {
			answers[k], problems[k] = n.ask(ctx, wanted)
			return nil
		})
	}
	_ = asking.Wait() // the functions keep their errors
	for k, n := range answers {
		if problems[k] != nil {
			app.Notef("%v", problems[k])
			unasked++
			continue
		}
		for _, r := range n.Partitions {
			if wanted.match(r) {
				all = append(all, held{&n.ID, r})
			}
		}
	}
	if len(all) == 0 && unasked == 0 && len(wanted) > 0 {
		return nil, 0, cli.NotFoundf("barnabas topic list shows what exists", "no node has such a partition")
	}
	slices.SortStableFunc(all, inOrder)
	return all, unasked, nil
}

func inOrder(a, b held) int {
	if a.Topic != b.Topic {
		return strings.Compare(a.Topic, b.Topic)
	}
	return int(a.Partition) - int(b.Partition)
}

// listenersOf asks the brokers where they serve HTTP.
func listenersOf(ctx context.Context, app *cli.App) ([]asked, error) {
	session, err := app.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	m, err := session.Admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the cluster's brokers: %w", err)
	}
	hosts := map[int32]string{}
	for _, b := range m.Brokers {
		hosts[b.NodeID] = b.Host
	}
	resources, err := session.Admin.DescribeBrokerConfigs(ctx, m.Brokers.NodeIDs()...)
	if err != nil {
		return nil, fmt.Errorf("ask where the brokers serve HTTP: %w", err)
	}
	var nodes []asked
	for _, id := range m.Brokers.NodeIDs() {
		n := asked{id: id}
		if resource, err := resources.On(fmt.Sprint(id), nil); err == nil && resource.Err == nil {
			for _, c := range resource.Configs {
				if c.Key == listenerName {
					n.address = reachable(c.MaybeValue(), hosts[id])
				}
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// reachable is a listener as others see it: where it is on all interfaces, the broker's host is named.
func reachable(listener, host string) string {
	at, port, err := net.SplitHostPort(listener)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(at); at == "" || ip != nil && ip.IsUnspecified() {
		at = host
	}
	return net.JoinHostPort(at, port)
}

// ask asks one node, and makes sure that it is the one that is meant: at a loopback address another may answer.
func (n asked) ask(ctx context.Context, wanted selection) (answer admin.Node, err error) {
	who := "the node at " + n.address
	if n.id >= 0 {
		who = fmt.Sprintf("node %d", n.id)
	}
	if n.address == "" {
		return answer, fmt.Errorf("%s does not say where it serves HTTP: see %s", who, listenerName)
	}
	where := url.URL{Scheme: "http", Host: n.address, Path: "/partitions"}
	if len(wanted) == 1 && !strings.ContainsAny(wanted[0].topic, `*?[\`) {
		where.RawQuery = url.Values{"topic": {wanted[0].topic}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return answer, cli.Usagef("%q is no address: %w", n.address, err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: nodes are asked themselves
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer, fmt.Errorf("ask %s at %s (its %s, which is on its own machine only by default): %w", who, n.address, listenerName, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("ask %s at %s: %s", who, n.address, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, statusLimit)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read the answer of %s at %s: %w", who, n.address, err)
	}
	if n.id >= 0 && answer.ID != n.id {
		return answer, fmt.Errorf("%s cannot be asked from here: at %s, its %s, node %d answers", who, n.address, listenerName, answer.ID)
	}
	return answer, nil
}
