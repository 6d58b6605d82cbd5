package cluster

import (
	"context"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// Command is the noun with its verbs.
func Command(app *cli.App) *cobra.Command {
	return cli.Noun("cluster", "Show what a cluster is made of, and move partitions between its brokers", newInfo(app), newStatus(app), newReassign(app), newDrain(app), newBalance(app), newVoter(app))
}

// described is the JSON output.
type described struct {
	ClusterID  string    `json:"clusterId"`
	Controller int32     `json:"controller"`
	Brokers    []broker  `json:"brokers"`
	Topics     int       `json:"topics"`
	Partitions int       `json:"partitions"`
	Features   []feature `json:"features"`
	APIs       []api     `json:"apis,omitempty"`
}

type broker struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack,omitempty"`
	Controller bool   `json:"controller"`
	Leads      int    `json:"leads"`    // partitions that it leads
	Replicas   int    `json:"replicas"` // partitions that it has a replica of
	LogBytes   int64  `json:"logBytes"` // -1 when it did not say
	Error      string `json:"error,omitempty"`
}

type feature struct {
	Name         string `json:"name"`
	Finalized    *int16 `json:"finalized"`
	SupportedMin int16  `json:"supportedMin"`
	SupportedMax int16  `json:"supportedMax"`
}

// api is the range of versions that all brokers serve.
type api struct {
	Key  int16  `json:"key"`
	Name string `json:"name"`
	Min  int16  `json:"min"`
	Max  int16  `json:"max"`
}

func newInfo(app *cli.App) *cobra.Command {
	var apis bool
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show brokers, controller, features and API versions",
		Example: `  barnabas cluster info
  barnabas cluster info --apis
  barnabas cluster info -b other:9092 --json`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return info(cmd.Context(), app, apis) },
	}
	cmd.Flags().BoolVar(&apis, "apis", false, "also show which versions of which API every broker serves")
	return cmd
}

func info(ctx context.Context, app *cli.App, apis bool) error {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	m, err := session.Admin.Metadata(ctx)
	if err != nil {
		return fmt.Errorf("ask for the cluster's metadata: %w", err)
	}
	versions, err := session.Admin.ApiVersions(ctx)
	if err != nil {
		app.Notef("not every broker said what it serves: %v", err)
	}
	directories, err := session.Admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		app.Notef("not every broker said how much it stores: %v", err)
	}
	d := assemble(m, versions, directories)
	if apis || app.JSON() {
		d.APIs = common(versions)
	}
	if app.JSON() {
		return app.Object(d)
	}
	return printInfo(app, d)
}

// assemble puts the answers together.
func assemble(m kadm.Metadata, versions kadm.BrokersApiVersions, directories kadm.DescribedAllLogDirs) described {
	d := described{ClusterID: m.Cluster, Controller: m.Controller, Brokers: []broker{}, Features: []feature{}}
	at := map[int32]*broker{}
	for _, b := range m.Brokers {
		d.Brokers = append(d.Brokers, broker{ID: b.NodeID, Host: b.Host, Port: b.Port, Controller: b.NodeID == m.Controller, LogBytes: -1})
		if b.Rack != nil {
			d.Brokers[len(d.Brokers)-1].Rack = *b.Rack
		}
	}
	sort.Slice(d.Brokers, func(i, j int) bool { return d.Brokers[i].ID < d.Brokers[j].ID })
	for i := range d.Brokers {
		b := &d.Brokers[i]
		at[b.ID] = b
		if dirs, ok := directories[b.ID]; ok && dirs.Error() == nil {
			b.LogBytes = dirs.Size()
		}
		if v, ok := versions[b.ID]; ok && v.Err != nil {
			b.Error = v.Err.Error()
		}
	}
	d.Topics = len(m.Topics)
	m.Topics.EachPartition(func(p kadm.PartitionDetail) {
		d.Partitions++
		if b := at[p.Leader]; b != nil {
			b.Leads++
		}
		for _, r := range p.Replicas {
			if b := at[r]; b != nil {
				b.Replicas++
			}
		}
	})
	d.Features = features(versions)
	return d
}

// features are those that every broker supports, with the version in force.
func features(versions kadm.BrokersApiVersions) []feature {
	byName := map[string]*feature{}
	finalizedEpoch := int64(-2)
	finalized := map[string]int16{}
	versions.Each(func(v kadm.BrokerApiVersions) {
		if v.Err != nil {
			return
		}
		raw := v.Raw()
		for _, s := range raw.SupportedFeatures {
			f := byName[s.Name]
			if f == nil {
				byName[s.Name] = &feature{Name: s.Name, SupportedMin: s.MinVersion, SupportedMax: s.MaxVersion}
				continue
			}
			f.SupportedMin, f.SupportedMax = max(f.SupportedMin, s.MinVersion), min(f.SupportedMax, s.MaxVersion)
		}
		if raw.FinalizedFeaturesEpoch > finalizedEpoch {
			finalizedEpoch = raw.FinalizedFeaturesEpoch
			clear(finalized)
			for _, f := range raw.FinalizedFeatures {
				finalized[f.Name] = f.MaxVersionLevel
			}
		}
	})
	out := []feature{}
	for name, f := range byName {
		if level, ok := finalized[name]; ok {
			f.Finalized = &level
		}
		out = append(out, *f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// common is what every broker that answered serves.
func common(versions kadm.BrokersApiVersions) []api {
	type span struct {
		min, max int16
		brokers  int
	}
	spans := map[int16]span{}
	answered := 0
	versions.Each(func(v kadm.BrokerApiVersions) {
		if v.Err != nil {
			return
		}
		answered++
		v.EachKeySorted(func(key, low, high int16) {
			s, ok := spans[key]
			if !ok {
				s = span{low, high, 0}
			}
			spans[key] = span{max(s.min, low), min(s.max, high), s.brokers + 1}
		})
	})
	var out []api
	for key, s := range spans {
		if s.brokers == answered && s.min <= s.max {
			out = append(out, api{key, apiName(key), s.min, s.max})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}

func printInfo(app *cli.App, d described) error {
	controller := "none"
	if d.Controller >= 0 {
		controller = fmt.Sprintf("broker %d", d.Controller)
	}
	err := cli.Fields(app.Out, "Cluster ID", d.ClusterID, "Controller", controller, "Brokers", len(d.Brokers), "Topics", d.Topics, "Partitions", d.Partitions)
	if err != nil {
		return err
	}
	brokers := cli.NewTable("BROKER#", "HOST", "PORT#", "RACK", "LEADS#", "REPLICAS#", "STORED#", "NOTE")
	for _, b := range d.Brokers {
		note := b.Error
		if note == "" && b.Controller {
			note = "controller"
		}
		brokers.Row(b.ID, b.Host, b.Port, b.Rack, b.Leads, b.Replicas, cli.Bytes(b.LogBytes), note)
	}
	tables := []*cli.Table{brokers}
	if len(d.Features) > 0 {
		t := cli.NewTable("FEATURE", "IN FORCE#", "SUPPORTED")
		for _, f := range d.Features {
			inForce := "-"
			if f.Finalized != nil {
				inForce = fmt.Sprint(*f.Finalized)
			}
			t.Row(f.Name, inForce, fmt.Sprintf("%d-%d", f.SupportedMin, f.SupportedMax))
		}
		tables = append(tables, t)
	}
	if len(d.APIs) > 0 {
		t := cli.NewTable("KEY#", "API", "MIN#", "MAX#")
		for _, a := range d.APIs {
			t.Row(a.Key, a.Name, a.Min, a.Max)
		}
		tables = append(tables, t)
	}
	for _, t := range tables {
		fmt.Fprintln(app.Out)
		if err := t.Write(app.Out); err != nil {
			return err
		}
	}
	return nil
}
