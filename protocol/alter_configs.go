package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterConfigs (33), versions 0 to 2: what the request gives replaces everything that was set on the resource.
func (s *Server) alterConfigs(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i := range req.Resources {
		r := &req.Resources[i]
		values := make(map[string]*string, len(r.Configs))
		err := error(nil)
		for _, config := range r.Configs {
			if _, twice := values[config.Name]; twice {
				err = refuse(codeInvalidRequest, "configuration %s is given twice", config.Name)
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

func resource(kind kmsg.ConfigResourceType, name string) metadata.ConfigResource {
	return metadata.ConfigResource{Type: metadata.ConfigType(kind), Name: name}
}
