package config

import (
	"context"
	"fmt"
	"strconv"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// targetHelp says what the first two arguments of each verb are.
const targetHelp = `The first arguments say whose configuration: topic NAME, broker ID, or broker all for what applies to every
broker that has no setting of its own.`

// target is whose configuration is meant.
type target struct {
	topic  string
	broker int32 // when topic is empty; -1 for all brokers
}

func parseTarget(args []string) (target, error) {
	switch args[0] {
	case "topic", "topics":
		return target{topic: args[1]}, cli.CheckTopicName(args[1])
	case "broker", "brokers":
		if args[1] == "all" || args[1] == "default" {
			return target{broker: -1}, nil
		}
		id, err := strconv.ParseInt(args[1], 10, 32)
		if err != nil || id < 0 {
			return target{}, cli.Usagef("%q is not a broker: write its number, or all", args[1])
		}
		return target{broker: int32(id)}, nil
	}
	return target{}, cli.Usagef("%q has no configuration: write topic NAME or broker ID", args[0])
}

// check fails if the target does not exist.
func (t target) check(ctx context.Context, session *cli.Session) error {
	if t.topic != "" {
		_, err := session.Topics(ctx, t.topic)
		return err
	}
	if t.broker < 0 {
		return nil
	}
	brokers, err := session.Admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	for _, b := range brokers {
		if b.NodeID == t.broker {
			return nil
		}
	}
	return cli.NotFoundf("the brokers are "+cli.IDs(brokers.NodeIDs()), "broker %d does not exist", t.broker)
}

func (t target) list(ctx context.Context, session *cli.Session, everything bool) ([]Entry, error) {
	if t.topic != "" {
		return OfTopic(ctx, session, t.topic, everything)
	}
	return ofBroker(ctx, session, t.broker, everything)
}

func (t target) String() string {
	if t.topic != "" {
		return fmt.Sprintf("topic %q", t.topic)
	}
	return brokerName(t.broker)
}
