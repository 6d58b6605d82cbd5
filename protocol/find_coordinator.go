package protocol

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator (10), versions 0 to 6. v1 adds the kind of key, v4 asks for many keys at once; v6 allows the keys of share groups.
//
// Groups only: transactions and share groups are not served yet, and their kinds are answered with UNSUPPORTED_VERSION and a sentence.
const (
	groupKey       int8 = 0
	transactionKey int8 = 1
	shareKey       int8 = 2
)

// coordinator is the answer for one key.
type coordinator struct {
	code    int16
	message *string
	node    int32
	host    string
	port    int32
}

func (s *Server) findCoordinator(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if req.Version < 4 {
		found := s.coordinatorOf(ctx, c, req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = found.code, found.message, found.node, found.host, found.port
		return resp, nil
	}
	for _, key := range req.CoordinatorKeys {
		found := s.coordinatorOf(ctx, c, req.CoordinatorType, key)
		out := kmsg.NewFindCoordinatorResponseCoordinator()
		out.Key, out.ErrorCode, out.ErrorMessage, out.NodeID, out.Host, out.Port = key, found.code, found.message, found.node, found.host, found.port
		resp.Coordinators = append(resp.Coordinators, out)
	}
	return resp, nil
}

// coordinatorOf finds the coordinator of one key, at the address of the listener that the request arrived on.
func (s *Server) coordinatorOf(ctx context.Context, c *call, kind int8, key string) coordinator {
	refuse := func(code int16, reason string) coordinator {
		return coordinator{code: code, message: &reason, node: -1, port: -1}
	}
	switch kind {
	case groupKey:
	case transactionKey:
		return refuse(codeUnsupportedVersion, "this server has no transactions")
	case shareKey:
		return refuse(codeUnsupportedVersion, "this server has no share groups")
	default:
		return refuse(codeInvalidRequest, "unknown kind of coordinator key")
	}
	node, err := s.backend.GroupCoordinator(ctx, key)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return refuse(codeCoordinatorNotAvailable, "the coordinator is not available")
		}
		return refuse(s.code(err), err.Error())
	}
	b := s.backend.Image().Brokers[node]
	if b == nil {
		return refuse(codeCoordinatorNotAvailable, "the coordinator is not available")
	}
	host, port, ok := address(b, c.listener)
	if !ok {
		return refuse(codeCoordinatorNotAvailable, "the coordinator has no listener named "+c.listener)
	}
	return coordinator{node: node, host: host, port: port}
}
