package protocol

import (
	"context"
	"errors"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// code is the one place where a Go error becomes a Kafka error code. An error that it does not know is our own bug or a broken machine: it is
// logged, and the client is told UNKNOWN_SERVER_ERROR.
func (s *Server) code(err error) int16 {
	if code, known := codeOf(err); known {
		return code
	}
	s.log.Error("an error without a Kafka code", zap.Error(err))
	return codeUnknownServerError
}

// codeOf says whether err has a Kafka code, and which.
func codeOf(err error) (code int16, known bool) {
	var refused *metadata.Error
	var invalid *partition.InvalidRecordError
	switch {
	case err == nil:
		return codeNone, true
	case errors.As(err, &refused):
		return refused.Code, true
	case errors.As(err, &invalid):
		return codeInvalidRecord, true
	case errors.Is(err, partition.ErrNotLeader), errors.Is(err, partition.ErrClosed):
		return codeNotLeaderOrFollower, true
	case errors.Is(err, partition.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return codeRequestTimedOut, true
	case errors.Is(err, partition.ErrOffsetOutOfRange):
		return codeOffsetOutOfRange, true
	case errors.Is(err, partition.ErrOffsetNotAvailable):
		return codeOffsetNotAvailable, true
	case errors.Is(err, partition.ErrFencedEpoch):
		return codeFencedLeaderEpoch, true
	case errors.Is(err, partition.ErrUnknownEpoch):
		return codeUnknownLeaderEpoch, true
	case errors.Is(err, partition.ErrTooLarge):
		return codeMessageTooLarge, true
	case errors.Is(err, partition.ErrCorrupt):
		return codeCorruptMessage, true
	case errors.Is(err, partition.ErrInvalidTimestamp):
		return codeInvalidTimestamp, true
	case errors.Is(err, partition.ErrUnsupportedCodec):
		return codeUnsupportedCompressionType, true
	case errors.Is(err, partition.ErrDuplicateSequence):
		return codeDuplicateSequenceNumber, true
	case errors.Is(err, partition.ErrOutOfOrderSequence):
		return codeOutOfOrderSequenceNumber, true
	case errors.Is(err, partition.ErrInvalidEpoch):
		return codeInvalidProducerEpoch, true
	case errors.Is(err, partition.ErrInvalidTxnState):
		return codeInvalidTxnState, true
	case errors.Is(err, partition.ErrNotEnoughReplicas):
		return codeNotEnoughReplicas, true
	case errors.Is(err, partition.ErrPolicyViolation):
		return codePolicyViolation, true
	case errors.Is(err, partition.ErrUnsupportedVersion):
		return codeUnsupportedVersion, true
	case errors.Is(err, partition.ErrStorage), errors.Is(err, partition.ErrNoRoom):
		return codeKafkaStorageError, true
	}
	return codeUnknownServerError, false
}

// message is what a reply's error_message says: nil without an error.
func message(err error) *string {
	if err == nil {
		return nil
	}
	m := err.Error()
	return &m
}
