package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/log"
)

// operate does what an operator does about damage that a node which is alone cannot heal: looks whether the partition is offline, and repairs it.
func (s *suffering) operate(ctx context.Context, dir string, r *row, mark int64, started bool) error {
	if !started {
		if err := s.acknowledges(ctx); err != nil {
			return fmt.Errorf("a partition that works does not go on: %w", err)
		}
		r.followed = "what is sound is served; a reader from the start: " + s.readFromStart(ctx) + "; "
		s.victim.end(syscall.SIGKILL)
		if err := s.victim.start(); err != nil {
			return err
		}
	}
	offline, err := s.offline(ctx)
	if err != nil {
		return err
	}
	if found, err := log.Inspect(dir, log.InspectOptions{}); !offline && err == nil && found.Sound() {
		r.followed += "online: taken for a write that was cut short, and cut off"
		return s.acknowledges(ctx)
	}
	how := []string{"log", "repair", dir, "--write", "--json", "--alone"}
	if offline {
		how = append(how, "--offline")
		r.followed += "after a start offline, KAFKA_STORAGE_ERROR; "
	} else {
		r.followed += "after a start online; "
		s.victim.end(syscall.SIGKILL)
	}
	repaired, err := s.repair(ctx, how)
	if err != nil {
		return err
	}
	for _, h := range repaired.Holes {
		if h.Reason != "" && !within([]stretch{r.lost}, h.From, h.To) {
			return fmt.Errorf("repair takes offsets %d to %d away (%s:%d: %s), and the damaged bytes held %v", h.From, h.To-1, h.File, h.Position, h.Reason, r.lost)
		}
	}
	r.followed += fmt.Sprintf("repaired, %d offsets lost", repaired.Lost)
	if !offline {
		if err := s.victim.start(); err != nil {
			return err
		}
	}
	if err := s.acknowledges(ctx); err != nil {
		return fmt.Errorf("after the repair: %w", err)
	}
	return os.RemoveAll(repaired.Kept)
}

// repaired is what `barnabas log repair --json` prints.
type repaired struct {
	Lost  int64  `json:"lost_offsets"`
	Kept  string `json:"kept"`
	Holes []struct {
		From     int64  `json:"from"`
		To       int64  `json:"to"`
		File     string `json:"file"`
		Position int64  `json:"position"`
		Reason   string `json:"reason"`
	} `json:"holes"`
}

func (s *suffering) repair(ctx context.Context, args []string) (done repaired, err error) {
	cmd := exec.CommandContext(ctx, s.options.binary, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return done, fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	if err := json.Unmarshal(out, &done); err != nil {
		return done, fmt.Errorf("%v said %s: %w", cmd.Args, out, err)
	}
	if done.Kept == "" {
		return done, fmt.Errorf("%v kept nothing: %s", cmd.Args, out)
	}
	return done, nil
}

// offline says whether the node itself answers for the partition with KAFKA_STORAGE_ERROR, once it answers at all. It is asked past the metadata, which name no leader then.
func (s *suffering) offline(ctx context.Context) (is bool, err error) {
	client, err := s.trial.cluster.kafka()
	if err != nil {
		return false, err
	}
	defer client.Close()
	question := kmsg.NewPtrListOffsetsRequest()
	question.ReplicaID = -1
	topic, partition := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	topic.Topic, partition.Timestamp = faultsTopic, -1
	topic.Partitions = append(topic.Partitions, partition)
	question.Topics = append(question.Topics, topic)
	err = until(ctx, woundLimit, func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		answer, err := client.SeedBrokers()[0].Request(ctx, question)
		if err != nil {
			return err
		}
		listed, ok := answer.(*kmsg.ListOffsetsResponse)
		if !ok || len(listed.Topics) != 1 || len(listed.Topics[0].Partitions) != 1 {
			return fmt.Errorf("asked for an offset, the node answered %v", answer)
		}
		err = kerr.ErrorForCode(listed.Topics[0].Partitions[0].ErrorCode)
		if is = errors.Is(err, kerr.KafkaStorageError); is {
			return nil
		}
		return err
	})
	return is, err
}

// readFromStart reads the partition, and says what an error there was, or that there was none.
func (s *suffering) readFromStart(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, err := s.trial.cluster.kafka(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{faultsTopic: {0: kgo.NewOffset().At(0)}}), kgo.KeepRetryableFetchErrors(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	wanted, next := s.lastAcknowledged(), int64(0)
	for next < wanted {
		fetches := client.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			return fmt.Sprintf("nothing comes after offset %d", next-1)
		}
		for _, e := range fetches.Errors() {
			var known *kerr.Error
			if errors.As(e.Err, &known) {
				return known.Message
			}
			return e.Err.Error()
		}
		fetches.EachRecord(func(r *kgo.Record) { next = r.Offset + 1 })
	}
	return "everything comes"
}
