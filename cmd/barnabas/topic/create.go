package topic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/config"
)

type createFlags struct {
	partitions  int32
	replicas    int16
	configs     []string
	ifNotExists bool
	validate    bool
}

// created is one line of JSON output.
type created struct {
	Topic             string `json:"topic"`
	ID                string `json:"id,omitempty"`
	Partitions        int32  `json:"partitions"`
	ReplicationFactor int16  `json:"replicationFactor"`
	Created           bool   `json:"created"`
}

func newCreate(app *cli.App) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Create topics",
		Long: `Create topics. Partitions and replicas that are not given follow the broker's
num.partitions and default.replication.factor.`,
		Example: `  barnabas topic create orders
  barnabas topic create orders payments --partitions 12 --replication-factor 3
  barnabas topic create users -c cleanup.policy=compact -c min.insync.replicas=2
  barnabas topic create orders --if-not-exists`,
		Args: cli.Args(1, -1),
		RunE: func(cmd *cobra.Command, topics []string) error { return create(cmd.Context(), app, f, topics) },
	}
	cmd.Flags().Int32VarP(&f.partitions, "partitions", "p", -1, "number of partitions; -1 for the broker's default")
	cmd.Flags().Int16VarP(&f.replicas, "replication-factor", "r", -1, "replicas of each partition; -1 for the broker's default")
	cmd.Flags().StringArrayVarP(&f.configs, "set", "c", nil, "set a configuration, `name=value`; may be repeated")
	cmd.Flags().BoolVar(&f.ifNotExists, "if-not-exists", false, "leave a topic that exists as it is, and succeed")
	cmd.Flags().BoolVar(&f.validate, "validate-only", false, "let the broker check everything, but create nothing")
	return cmd
}

func create(ctx context.Context, app *cli.App, f createFlags, topics []string) error {
	if f.partitions == 0 || f.partitions < -1 {
		return cli.Usagef("--partitions %d: a topic has at least one", f.partitions)
	}
	if f.replicas == 0 || f.replicas < -1 {
		return cli.Usagef("--replication-factor %d: a partition has at least one replica", f.replicas)
	}
	configs, err := parseConfigs(f.configs)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		if err := cli.CheckTopicName(topic); err != nil {
			return err
		}
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	send := session.Admin.CreateTopics
	if f.validate {
		send = session.Admin.ValidateCreateTopics
	}
	responses, err := send(ctx, f.partitions, f.replicas, configs, topics...)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var failures []error
	for _, topic := range topics {
		err := reportCreated(app, f, responses[topic])
		if errors.Is(err, kerr.InvalidConfig) {
			err = config.SuggestForTopic(ctx, session, slices.Collect(maps.Keys(configs)), err)
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func reportCreated(app *cli.App, f createFlags, r kadm.CreateTopicResponse) error {
	exists := errors.Is(r.Err, kerr.TopicAlreadyExists)
	if r.Err != nil && !(exists && f.ifNotExists) {
		err := fmt.Errorf("create topic %q: %w", r.Topic, cli.Refused(r.Err, r.ErrMessage))
		if exists {
			return cli.WithHint(err, "--if-not-exists accepts a topic that exists; barnabas topic alter changes one")
		}
		return err
	}
	if app.JSON() {
		return app.Object(created{Topic: r.Topic, ID: cli.TopicID(r.ID), Partitions: r.NumPartitions, ReplicationFactor: r.ReplicationFactor,
			Created: !exists && !f.validate})
	}
	switch {
	case exists:
		app.Notef("topic %q exists already", r.Topic)
	case f.validate:
		app.Notef("topic %q could be created", r.Topic)
	default:
		app.Notef("created topic %q with %s, replication factor %d", r.Topic, cli.Plural(int64(r.NumPartitions), "partition"), r.ReplicationFactor)
	}
	return nil
}

// parseConfigs reads name=value entries.
func parseConfigs(entries []string) (map[string]*string, error) {
	configs := map[string]*string{}
	for _, entry := range entries {
		name, value, err := cli.Pair(entry)
		if err != nil {
			return nil, err
		}
		if _, twice := configs[name]; twice {
			return nil, cli.Usagef("configuration %s is given twice", name)
		}
		configs[name] = &value
	}
	return configs, nil
}
