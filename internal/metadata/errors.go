package metadata

import (
	"context"
	"errors"
	"fmt"
)

// Kafka's error codes that this package answers with.
const (
	CodeUnknownTopicOrPartition  int16 = 3
	CodeRequestTimedOut          int16 = 7
	CodeInvalidTopic             int16 = 17
	CodeUnsupportedVersion       int16 = 35
	CodeTopicAlreadyExists       int16 = 36
	CodeInvalidPartitions        int16 = 37
	CodeInvalidReplicationFactor int16 = 38
	CodeInvalidReplicaAssignment int16 = 39
	CodeInvalidConfig            int16 = 40
	CodeNotController            int16 = 41
	CodeInvalidRequest           int16 = 42
	CodePolicyViolation          int16 = 44
	CodeReassignmentInProgress   int16 = 60
	CodeStaleBrokerEpoch         int16 = 77
	CodeNoReassignmentInProgress int16 = 85
	CodeUnknownTopicID           int16 = 100
	CodeBrokerIDNotRegistered    int16 = 102
	CodeInconsistentClusterID    int16 = 104
	CodeUnknownServerError       int16 = -1

	codeConflict int16 = -32768 // never leaves the package: the controller reads again and retries
)

const (
	conflictText                         = "the configuration changed at the same time"
	maxConflicts                         = 8 // attempts at a change that others keep disturbing
	defaultMaxPartitionsPerRequest       = 10_000
	metadataTopic                        = "__cluster_metadata"
	maxTopicNameLength                   = 249
	producerIDBlockSize            int64 = 1000
)

// Error is a refusal with the Kafka error code that belongs to it.
type Error struct {
	Code    int16
	Message string
	Cause   error // what lies beneath, if anything does
}

func (e *Error) Error() string { return e.Message }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// KafkaCode is the error's Kafka code. Errors of other packages that have this method keep their code on the way through the Controller.
func (e *Error) KafkaCode() int16 { return e.Code }

func refuse(code int16, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// coded gives err a Kafka code: its own if it brings one, otherwise code.
func coded(err error, code int16) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var brings interface{ KafkaCode() int16 }
	if errors.As(err, &brings) {
		code = brings.KafkaCode()
	}
	return &Error{Code: code, Message: err.Error(), Cause: err}
}

// proposalError says why a command was not known to be committed. Both codes make clients look for the controller and try again.
func proposalError(what string, err error) *Error {
	wrapped := fmt.Errorf("%s: %w", what, err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Code: CodeRequestTimedOut, Message: wrapped.Error(), Cause: err}
	}
	failure := coded(err, CodeNotController)
	return &Error{Code: failure.Code, Message: wrapped.Error(), Cause: err}
}
