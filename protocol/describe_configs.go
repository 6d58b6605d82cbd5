package protocol

import (
	"context"
	"slices"
	"strconv"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeConfigs (32), versions 0 to 4. v1 adds the source and the synonyms, v3 the type and the documentation.
//
// Topics and brokers are described. A broker is described by itself (clients send the request there); the empty name stands for the cluster-wide dynamic default.
// Groups are not: what Kafka lets one set on a group belongs to the next-generation protocol and to share groups, and neither is served.
func (s *Server) describeConfigs(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for i := range req.Resources {
		r := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		rows, err := s.configRows(r.ResourceType, r.ResourceName)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = s.code(err), message(err)
		}
		for _, row := range rows {
			if len(r.ConfigNames) == 0 || slices.Contains(r.ConfigNames, row.Name) {
				out.Configs = append(out.Configs, describedConfig(row, req))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

func (s *Server) configRows(kind kmsg.ConfigResourceType, name string) ([]ConfigEntry, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if err := metadata.ValidateTopicName(name); err != nil {
			return nil, err
		}
		t := s.backend.Image().Topics[name]
		if t == nil {
			return nil, refuse(codeUnknownTopicOrPartition, "topic %q does not exist", name)
		}
		return s.backend.TopicConfig(t), nil
	case kmsg.ConfigResourceTypeBroker:
		node := metadata.DefaultBroker
		if name != "" {
			id, err := strconv.ParseInt(name, 10, 32)
			if err != nil || int32(id) != s.backend.NodeID() {
				return nil, refuse(codeInvalidRequest, "Unexpected broker id, expected %d or empty string, but received %s", s.backend.NodeID(), name)
			}
			node = int32(id)
		}
		return s.backend.BrokerConfig(node), nil
	}
	return nil, refuse(codeInvalidRequest, "resources of type %d have no configuration here", kind)
}

func describedConfig(row ConfigEntry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.ReadOnly, out.IsSensitive = row.Name, row.Value, row.ReadOnly, row.Sensitive
	out.Source, out.ConfigType = kmsg.ConfigSource(row.Source), kmsg.ConfigType(row.Type)
	out.IsDefault = out.Source == kmsg.ConfigSourceDefaultConfig
	if row.Sensitive {
		out.Value = nil
	}
	if req.IncludeDocumentation {
		out.Documentation = &row.Doc
	}
	if req.IncludeSynonyms {
		for _, synonym := range row.Synonyms {
			entry := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			entry.Name, entry.Value, entry.Source = synonym.Name, synonym.Value, kmsg.ConfigSource(synonym.Source)
			if row.Sensitive {
				entry.Value = nil
			}
			out.ConfigSynonyms = append(out.ConfigSynonyms, entry)
		}
	}
	return out
}
