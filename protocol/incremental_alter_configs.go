package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// IncrementalAlterConfigs (44), versions 0 to 1 (KIP-339): set, delete, append to a list, subtract from it.
func (s *Server) incrementalAlterConfigs(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	ctx, cancel := context.WithTimeout(ctx, alterTimeout)
	defer cancel()
	named := make(map[metadata.ConfigResource]int, len(req.Resources))
	for i := range req.Resources {
		named[resource(req.Resources[i].ResourceType, req.Resources[i].ResourceName)]++
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		ops := make([]metadata.ConfigOp, len(r.Configs))
		seen := make(map[string]bool, len(r.Configs))
		err := error(nil)
		if named[resource(r.ResourceType, r.ResourceName)] > 1 {
			err = errDuplicateResource
		}
		for j, config := range r.Configs {
			if seen[config.Name] {
				err = refuse(codeInvalidRequest, "Error due to duplicate config keys: %s", config.Name)
			}
			seen[config.Name] = true
			ops[j] = metadata.ConfigOp{Name: config.Name, Op: int8(config.Op), Value: config.Value}
		}
		if err == nil {
			err = s.backend.Admin().AlterConfig(ctx, resource(r.ResourceType, r.ResourceName), ops, req.ValidateOnly)
		}
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = s.code(err), message(err)
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}
