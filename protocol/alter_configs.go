package protocol

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterConfigs (33), versions 0 to 2; v2 is flexible. What the request gives replaces everything that was set on the resource.
func (s *Server) alterConfigs(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	ctx, cancel := context.WithTimeout(ctx, alterTimeout)
	defer cancel()
	named := make(map[metadata.ConfigResource]int, len(req.Resources))
	for i := range req.Resources {
		named[resource(req.Resources[i].ResourceType, req.Resources[i].ResourceName)]++
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		values := make(map[string]*string, len(r.Configs))
		err := error(nil)
		if named[resource(r.ResourceType, r.ResourceName)] > 1 {
			err = errDuplicateResource
		}
		for _, config := range r.Configs {
			if _, twice := values[config.Name]; twice {
				err = refuse(codeInvalidRequest, "Error due to duplicate config keys: %s", config.Name)
			}
			values[config.Name] = config.Value
		}
		if err == nil {
			err = s.backend.Admin().ReplaceConfig(ctx, resource(r.ResourceType, r.ResourceName), values, req.ValidateOnly)
		}
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = s.code(err), message(err)
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

// alterTimeout bounds a change of configurations, whose requests carry no timeout (request.timeout.ms).
const alterTimeout = 30 * time.Second

// errDuplicateResource refuses a resource that a request names more than once: which of the changes counts?
var errDuplicateResource = refuse(codeInvalidRequest, "Each resource must appear at most once.")

func resource(kind kmsg.ConfigResourceType, name string) metadata.ConfigResource {
	return metadata.ConfigResource{Type: metadata.ConfigType(kind), Name: name}
}
