package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Exit codes. They are part of the command's interface: scripts branch on them.
const (
	ExitOK          = 0
	ExitFailed      = 1   // the cluster refused, a record was not written, a file is damaged
	ExitUsage       = 2   // a wrong flag, argument or properties file: nothing was attempted
	ExitUnreachable = 3   // no broker answered
	ExitNotFound    = 4   // the topic, group, partition or broker does not exist
	ExitInterrupted = 130 // stopped by a signal before it was finished
)

// Failure is an error with an exit code and an optional hint about what to do next.
type Failure struct {
	Code  int
	Hint  string
	cause error
}

// Error says what went wrong, without the hint.
func (f *Failure) Error() string { return f.cause.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.cause }

// Usagef is a mistake in flags or arguments.
func Usagef(format string, args ...any) error {
	return &Failure{Code: ExitUsage, cause: fmt.Errorf(format, args...)}
}

// Failedf is a failure of the work itself.
func Failedf(format string, args ...any) error {
	return &Failure{Code: ExitFailed, cause: fmt.Errorf(format, args...)}
}

// NotFoundf says that something named by the user does not exist.
func NotFoundf(hint, format string, args ...any) error {
	return &Failure{Code: ExitNotFound, Hint: hint, cause: fmt.Errorf(format, args...)}
}

// WithHint adds a hint to err and keeps its exit code.
func WithHint(err error, format string, args ...any) error {
	code := ExitFailed
	var f *Failure
	if errors.As(err, &f) {
		code = f.Code
	}
	return &Failure{Code: code, Hint: fmt.Sprintf(format, args...), cause: err}
}

// Refused joins a protocol error with the message that the broker sent along, if it sent one.
func Refused(err error, message string) error {
	var ke *kerr.Error
	if !errors.As(err, &ke) {
		return err
	}
	text := strings.TrimSpace(message)
	if text == "" {
		text = ke.Description
	}
	return &refusal{kind: ke, text: strings.TrimSuffix(text, ".")}
}

// refusal prints as "TOPIC_ALREADY_EXISTS: what the broker said".
type refusal struct {
	kind *kerr.Error
	text string
}

func (r *refusal) Error() string { return r.kind.Message + ": " + r.text }
func (r *refusal) Unwrap() error { return r.kind }

// explain turns any error into a Failure: the one place where errors become words and exit codes.
func (a *App) explain(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		if f.cause.Error() == err.Error() {
			return f
		}
		return &Failure{Code: f.Code, Hint: f.Hint, cause: err}
	}
	if !a.running {
		return &Failure{Code: ExitUsage, cause: err}
	}
	var auth *kadm.AuthError
	var ke *kerr.Error
	var shards *kadm.ShardErrors
	switch {
	case errors.Is(err, context.Canceled):
		return &Failure{Code: ExitInterrupted, cause: errors.New("interrupted")}
	case errors.As(err, &auth):
		return &Failure{Code: ExitFailed, cause: Refused(auth.Unwrap(), ""), Hint: "the user of this connection lacks a permission"}
	case errors.As(err, &shards) && !errors.As(err, &ke):
		return a.unreachable(shards.Errs[0].Err)
	case errors.As(err, &ke):
		return &Failure{Code: codeOf(ke), cause: readable(err, ke)}
	case errors.Is(err, context.DeadlineExceeded), isNetwork(err):
		return a.unreachable(err)
	}
	return &Failure{Code: ExitFailed, cause: err}
}

// readable replaces an unadorned protocol error by one that reads well.
func readable(err error, ke *kerr.Error) error {
	if err == error(ke) {
		return Refused(err, "")
	}
	return err
}

func codeOf(ke *kerr.Error) int {
	switch ke {
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.GroupIDNotFound, kerr.ResourceNotFound:
		return ExitNotFound
	case kerr.RequestTimedOut, kerr.BrokerNotAvailable, kerr.CoordinatorNotAvailable:
		return ExitUnreachable
	}
	return ExitFailed
}

func isNetwork(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var dial *kgo.ErrFirstReadEOF
	return errors.As(err, &op) || errors.As(err, &dns) || errors.As(err, &dial) || isCertificate(err) || isEOF(err)
}

// isCertificate says that the broker's certificate is not trusted, or is for another name.
func isCertificate(err error) bool {
	var e *tls.CertificateVerificationError
	return errors.As(err, &e)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// unreachable says who did not answer, and what to try.
func (a *App) unreachable(err error) *Failure {
	a.mu.Lock()
	defer a.mu.Unlock()
	seeds := strings.Join(a.seeds, ", ")
	var strangers []string
	for address := range a.dialErrors {
		if !contains(a.seeds, address) {
			strangers = append(strangers, address)
		}
	}
	sort.Strings(strangers)
	var eof *kgo.ErrFirstReadEOF
	switch {
	case len(strangers) > 0:
		return &Failure{
			Code:  ExitUnreachable,
			cause: fmt.Errorf("the cluster at %s names a broker at %s that cannot be reached from here: %w", seeds, strangers[0], a.dialErrors[strangers[0]]),
			Hint:  "set advertised.listeners on that broker to an address that clients can reach",
		}
	case isCertificate(err):
		return &Failure{Code: ExitUnreachable, cause: fmt.Errorf("%s: %w", seeds, err), Hint: "name the certificates to trust with ssl.truststore.location in the --config file"}
	case errors.As(err, &eof), isEOF(err):
		return &Failure{
			Code:  ExitUnreachable,
			cause: fmt.Errorf("%s closed the connection before it answered: %w", seeds, err),
			Hint:  "does it expect TLS or a login (security.protocol in the --config file), are user and password right, does it speak Kafka's protocol at all?",
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &Failure{Code: ExitUnreachable, cause: fmt.Errorf("no answer from %s within %s", seeds, a.flags.timeout), Hint: "wait longer with --timeout, or see what happens with --debug"}
	}
	return &Failure{Code: ExitUnreachable, cause: err}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// isBrokenPipe says that whoever read our output has seen enough.
func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// IsNotFound says that err is about something that does not exist.
func IsNotFound(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Code == ExitNotFound
}
