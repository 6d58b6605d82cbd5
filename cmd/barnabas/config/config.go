package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// Command is the noun with its verbs.
func Command(app *cli.App) *cobra.Command {
	return cli.Noun("config", "Show and change configurations of topics and brokers", newDescribe(app), newSet(app), newDelete(app))
}

// Entry is one configuration of a topic or broker.
type Entry struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"`
	Source    string  `json:"source"`
	Default   bool    `json:"default"`
	Sensitive bool    `json:"sensitive,omitempty"`
}

// sources of a configuration, as DescribeConfigs numbers them.
var sources = map[int8]string{
	1: "topic", 2: "broker", 3: "cluster", 4: "properties file", 5: "default", 6: "logger", 7: "client metrics", 8: "group",
}

// entries converts and sorts what keep accepts.
func entries(configs []kadm.Config, keep func(source int8) bool) []Entry {
	out := []Entry{}
	for _, c := range configs {
		source := int8(c.Source)
		if !keep(source) {
			continue
		}
		name := sources[source]
		if name == "" {
			name = "unknown"
		}
		out = append(out, Entry{Name: c.Key, Value: c.Value, Source: name, Default: source == 5, Sensitive: c.Sensitive})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func all(int8) bool       { return true }
func changed(s int8) bool { return s != 5 }
func ofTopic(s int8) bool { return s == 1 }
func which(everything bool, otherwise func(int8) bool) func(int8) bool {
	if everything {
		return all
	}
	return otherwise
}

// OfTopic lists a topic's own configurations, or with everything also those that it inherits.
func OfTopic(ctx context.Context, session *cli.Session, topic string, everything bool) ([]Entry, error) {
	resources, err := session.Admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("describe configurations of topic %q: %w", topic, err)
	}
	resource, err := resources.On(topic, nil)
	if err == nil {
		err = resource.Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, session.NoTopic(ctx, topic)
	}
	if err != nil {
		return nil, fmt.Errorf("describe configurations of topic %q: %w", topic, cli.Refused(err, resource.ErrMessage))
	}
	return entries(resource.Configs, which(everything, ofTopic)), nil
}

// ofBroker lists a broker's configurations; broker < 0 means those of the whole cluster.
func ofBroker(ctx context.Context, session *cli.Session, broker int32, everything bool) ([]Entry, error) {
	ids, name := []int32{broker}, strconv.Itoa(int(broker))
	if broker < 0 {
		ids, name = nil, ""
	}
	resources, err := session.Admin.DescribeBrokerConfigs(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("describe configurations of %s: %w", brokerName(broker), err)
	}
	resource, err := resources.On(name, nil)
	if err == nil {
		err = resource.Err
	}
	if err != nil {
		return nil, fmt.Errorf("describe configurations of %s: %w", brokerName(broker), cli.Refused(err, resource.ErrMessage))
	}
	return entries(resource.Configs, which(everything, changed)), nil
}

func brokerName(broker int32) string {
	if broker < 0 {
		return "all brokers"
	}
	return fmt.Sprintf("broker %d", broker)
}

// Print writes entries as a table.
func Print(w io.Writer, list []Entry) error {
	table := cli.NewTable("CONFIG", "VALUE", "SOURCE")
	for _, e := range list {
		value := ""
		switch {
		case e.Sensitive:
			value = "(hidden)"
		case e.Value != nil:
			value = *e.Value
		}
		table.Row(e.Name, value, e.Source)
	}
	return table.Write(w)
}
