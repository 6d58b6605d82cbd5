package replication

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// raftLogger passes what raft says to zap. The embedded null logger answers what nobody asks.
type raftLogger struct {
	hclog.Logger
	zap *zap.Logger
}

func newRaftLogger(logger *zap.Logger) *raftLogger {
	return &raftLogger{Logger: hclog.NewNullLogger(), zap: logger.WithOptions(zap.AddCallerSkip(2))}
}

// ordinary are the messages that every election, restart or lost peer produces, once for each group and attempt: the transport says once that a peer is
// gone, and the group says who leads.
var ordinary = map[string]bool{
	"failed to heartbeat to":                                        true,
	"failed to appendEntries to":                                    true,
	"failed to make requestVote RPC":                                true,
	"failed to contact":                                             true,
	"failed to install snapshot":                                    true,
	"failed to send snapshot to":                                    true,
	"failed to get log":                                             true,
	"failed to get previous log":                                    true,
	"previous log term mis-match":                                   true,
	"appendEntries rejected, sending older logs":                    true,
	"clearing log suffix":                                           true,
	"heartbeat timeout reached, starting election":                  true,
	"Election timeout reached, restarting election":                 true,
	"rejecting vote request since we have a leader":                 true,
	"rejecting pre-vote request since we have a leader":             true,
	"rejecting vote request since our last index is greater":        true,
	"rejecting vote request since our last term is greater":         true,
	"rejecting pre-vote request since our last index is greater":    true,
	"rejecting pre-vote request since our last term is greater":     true,
	"no known peers, aborting election":                             true,
	"not part of stable configuration, aborting election":           true,
	"peer has newer term, stopping replication":                     true,
	"skipping application of old log":                               true,
	"failed to contact quorum of nodes, stepping down":              true,
	"failed to commit logs":                                         true, // the group itself reports why, once
	"failed to append to logs":                                      true,
	"failed to clear log suffix":                                    true,
	"rejecting vote request since node is not in configuration":     true,
	"rejecting pre-vote request since node is not in configuration": true,
}

func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	to := zapcore.DebugLevel
	switch {
	case ordinary[msg], level < hclog.Warn:
	case level == hclog.Warn:
		to = zapcore.WarnLevel
	default:
		to = zapcore.ErrorLevel
	}
	l.write(to, msg, args)
}

func (l *raftLogger) write(level zapcore.Level, msg string, args []any) {
	entry := l.zap.Check(level, msg)
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		name := fmt.Sprint(args[i])
		switch v := args[i+1].(type) {
		case error:
			fields = append(fields, zap.NamedError(name, v))
		case hclog.Format:
			fields = append(fields, zap.String(name, fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)))
		default:
			fields = append(fields, zap.Any(name, v))
		}
	}
	entry.Write(fields...)
}

// Raft's informational messages accompany every election of every group: they are debug output of ours, and formatted only when wanted.
func (l *raftLogger) Trace(string, ...any) {}
func (l *raftLogger) Debug(msg string, args ...any) {
	if l.zap.Core().Enabled(zapcore.DebugLevel) {
		l.Log(hclog.Debug, msg, args...)
	}
}
func (l *raftLogger) Info(msg string, args ...any) {
	if l.zap.Core().Enabled(zapcore.DebugLevel) {
		l.Log(hclog.Info, msg, args...)
	}
}
func (l *raftLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *raftLogger) IsTrace() bool                  { return false }
func (l *raftLogger) IsDebug() bool                  { return l.zap.Core().Enabled(zapcore.DebugLevel) }
func (l *raftLogger) IsInfo() bool                   { return l.IsDebug() }
func (l *raftLogger) IsWarn() bool                   { return true }
func (l *raftLogger) IsError() bool                  { return true }
func (l *raftLogger) With(...any) hclog.Logger       { return l }
func (l *raftLogger) Named(string) hclog.Logger      { return l }
func (l *raftLogger) ResetNamed(string) hclog.Logger { return l }
