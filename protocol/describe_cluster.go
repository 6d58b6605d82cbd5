package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The kinds of endpoints that DescribeCluster tells apart (KIP-919).
const (
	brokerEndpoints     int8 = 1
	controllerEndpoints int8 = 2
)

// DescribeCluster (60), versions 0 to 2 (KIP-700). v1 adds the type of endpoint: this is a listener for clients, so only brokers are described. v2 adds fenced
// brokers when they are asked for.
func (s *Server) describeCluster(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeClusterRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	image := s.backend.Image()
	resp.ClusterID = image.ClusterID
	resp.ControllerID = s.controller(image)
	resp.ClusterAuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	if req.Version >= 1 && req.EndpointType != brokerEndpoints {
		err := refuse(codeUnsupportedEndpointType, "endpoint type %d is not known", req.EndpointType)
		if req.EndpointType == controllerEndpoints {
			err = refuse(codeMismatchedEndpointType, "this listener is for clients of brokers")
		}
		resp.ErrorCode, resp.ErrorMessage, resp.EndpointType = s.code(err), message(err), brokerEndpoints
		return resp, nil
	}
	resp.EndpointType = brokerEndpoints
	for _, b := range sortedBy(image.Brokers) {
		if b.Fenced && !req.IncludeFencedBrokers {
			continue
		}
		host, port, ok := address(b, c.listener)
		if !ok {
			continue
		}
		out := kmsg.NewDescribeClusterResponseBroker()
		out.NodeID, out.Host, out.Port, out.Rack, out.IsFenced = b.ID, host, port, rack(b), b.Fenced
		resp.Brokers = append(resp.Brokers, out)
	}
	return resp, nil
}
