package partition

import (
	"errors"
	"fmt"
)

// What a caller branches on. protocol/errors.go maps each to one Kafka error code (named behind it).
var (
	ErrNotLeader          = errors.New("not the leader of this partition")                  // NOT_LEADER_OR_FOLLOWER
	ErrTimeout            = errors.New("timed out waiting for the acknowledgement")         // REQUEST_TIMED_OUT
	ErrOffsetOutOfRange   = errors.New("offset out of range")                               // OFFSET_OUT_OF_RANGE
	ErrOffsetNotAvailable = errors.New("high watermark of the new leader is not known yet") // OFFSET_NOT_AVAILABLE
	ErrFencedEpoch        = errors.New("leader epoch is older than the partition's")        // FENCED_LEADER_EPOCH
	ErrUnknownEpoch       = errors.New("leader epoch is newer than the partition's")        // UNKNOWN_LEADER_EPOCH
	ErrTooLarge           = errors.New("batch is larger than max.message.bytes")            // MESSAGE_TOO_LARGE
	ErrCorrupt            = errors.New("batch is corrupt")                                  // CORRUPT_MESSAGE
	ErrInvalidTimestamp   = errors.New("timestamp out of the accepted range")               // INVALID_TIMESTAMP
	ErrUnsupportedCodec   = errors.New("compression codec not supported")                   // UNSUPPORTED_COMPRESSION_TYPE
	ErrDuplicateSequence  = errors.New("sequence is older than the remembered batches")     // DUPLICATE_SEQUENCE_NUMBER
	ErrOutOfOrderSequence = errors.New("sequence leaves a gap")                             // OUT_OF_ORDER_SEQUENCE_NUMBER
	ErrInvalidEpoch       = errors.New("producer epoch is older than the partition's")      // INVALID_PRODUCER_EPOCH
	ErrInvalidTxnState    = errors.New("transactional and plain batches mixed")             // INVALID_TXN_STATE
	ErrNotEnoughReplicas  = errors.New("fewer in-sync replicas than min.insync.replicas")   // NOT_ENOUGH_REPLICAS
	ErrPolicyViolation    = errors.New("the topic's cleanup policy forbids it")             // POLICY_VIOLATION
	ErrUnsupportedVersion = errors.New("special timestamp not supported")                   // UNSUPPORTED_VERSION
	ErrStorage            = errors.New("the partition is offline after a storage failure")  // KAFKA_STORAGE_ERROR
	ErrNoRoom             = errors.New("no room on the disk for more records")              // KAFKA_STORAGE_ERROR
	ErrClosed             = errors.New("partition closed")                                  // NOT_LEADER_OR_FOLLOWER
)

// InvalidRecordError says which record of a batch was refused and why: INVALID_RECORD with record_errors.
type InvalidRecordError struct {
	BatchIndex int32 // the record's place in the batch, or -1 for the batch as a whole
	Reason     string
}

func (e *InvalidRecordError) Error() string {
	return fmt.Sprintf("record %d: %s", e.BatchIndex, e.Reason)
}
