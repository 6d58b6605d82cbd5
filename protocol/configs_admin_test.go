package protocol

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeRequest(version int16, kind kmsg.ConfigResourceType, name string, names ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.SetVersion(version)
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, names
	req.Resources = append(req.Resources, r)
	return req
}

func TestDescribeConfigsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	c := s.dial()
	c.ask(alterRequest(kmsg.ConfigResourceTypeTopic, "t", alteration("retention.ms", 0, "5")))
	for version := int16(0); version <= 4; version++ {
		for _, wanted := range []bool{false, true} {
			req := describeRequest(version, kmsg.ConfigResourceTypeTopic, "t")
			req.IncludeSynonyms, req.IncludeDocumentation = wanted, wanted
			got := c.ask(req).(*kmsg.DescribeConfigsResponse).Resources[0]
			if got.ErrorCode != 0 || got.ErrorMessage != nil || got.ResourceName != "t" || got.ResourceType != kmsg.ConfigResourceTypeTopic || len(got.Configs) != 3 {
				t.Fatalf("version %d: %+v", version, got)
			}
			policy, retention, secret := got.Configs[0], got.Configs[1], got.Configs[2]
			if *policy.Value != "delete" || *retention.Value != "5" || policy.ReadOnly {
				t.Errorf("version %d: %+v, %+v", version, policy, retention)
			}
			if !secret.IsSensitive || secret.Value != nil {
				t.Errorf("version %d: a secret is told: %+v", version, secret)
			}
			if version == 0 && (!policy.IsDefault || retention.IsDefault) {
				t.Errorf("version 0: is_default of %+v and %+v", policy, retention)
			}
			if version >= 1 && (policy.Source != kmsg.ConfigSourceDefaultConfig || retention.Source != kmsg.ConfigSourceDynamicTopicConfig) {
				t.Errorf("version %d: sources of %+v and %+v", version, policy, retention)
			}
			if synonyms := retention.ConfigSynonyms; (wanted && version >= 1) != (len(synonyms) == 1 && synonyms[0].Name == "log.retention.ms" && *synonyms[0].Value == "604800000") {
				t.Errorf("version %d, asked %t: synonyms %+v", version, wanted, synonyms)
			}
			if synonyms := secret.ConfigSynonyms; len(synonyms) > 0 && synonyms[0].Value != nil {
				t.Errorf("version %d: a secret is told by its synonym: %+v", version, synonyms)
			}
			if (wanted && version >= 3) != (policy.Documentation != nil && *policy.Documentation == "About cleanup.policy.") {
				t.Errorf("version %d, asked %t: documentation %v", version, wanted, policy.Documentation)
			}
			if version >= 3 && (policy.ConfigType != kmsg.ConfigTypeList || retention.ConfigType != kmsg.ConfigTypeLong) {
				t.Errorf("version %d: types %v and %v", version, policy.ConfigType, retention.ConfigType)
			}
		}
	}
}

func TestDescribeConfigsOfEveryResource(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	c := s.dial()
	c.ask(alterRequest(kmsg.ConfigResourceTypeBroker, "", alteration("log.retention.ms", 0, "7")))
	describe := func(kind kmsg.ConfigResourceType, name string, names ...string) (int16, []string) {
		t.Helper()
		got := c.ask(describeRequest(4, kind, name, names...)).(*kmsg.DescribeConfigsResponse).Resources[0]
		if (got.ErrorMessage != nil) != (got.ErrorCode != 0) {
			t.Errorf("%v %q: code %d with message %v", kind, name, got.ErrorCode, got.ErrorMessage)
		}
		var found []string
		for _, config := range got.Configs {
			found = append(found, config.Name)
		}
		return got.ErrorCode, found
	}
	for _, each := range []struct {
		what  string
		kind  kmsg.ConfigResourceType
		name  string
		names []string
		code  int16
		found []string
	}{
		{"a topic, one name of it", 2, "t", []string{"retention.ms", "nonsense"}, 0, []string{"retention.ms"}},
		{"a topic, only nonsense", 2, "t", []string{"nonsense"}, 0, nil},
		{"a topic, an empty list of names", 2, "t", []string{}, 0, []string{"cleanup.policy", "retention.ms", "secret"}},
		{"a topic that is not there", 2, "absent", nil, codeUnknownTopicOrPartition, nil},
		{"a name that no topic has", 2, "a topic", nil, codeInvalidTopicException, nil},
		{"no topic name", 2, "", nil, codeInvalidTopicException, nil},
		{"this broker", 4, "1", nil, 0, []string{"num.partitions"}},
		{"the default of all brokers", 4, "", nil, 0, []string{"log.retention.ms"}},
		{"another broker", 4, "2", nil, codeInvalidRequest, nil},
		{"no number", 4, "one", nil, codeInvalidRequest, nil},
		{"a logger", 8, "1", nil, codeInvalidRequest, nil},
		{"client metrics", 16, "m", nil, codeInvalidRequest, nil},
		{"a group", 32, "g", nil, codeInvalidRequest, nil},
		{"an unknown kind", 77, "x", nil, codeInvalidRequest, nil},
	} {
		if code, found := describe(each.kind, each.name, each.names...); code != each.code || !slices.Equal(found, each.found) {
			t.Errorf("%s: code %d, %v; want %d, %v", each.what, code, found, each.code, each.found)
		}
	}
	both := describeRequest(4, 2, "absent")
	both.Resources = append(both.Resources, describeRequest(4, 2, "t").Resources...)
	if got := c.ask(both).(*kmsg.DescribeConfigsResponse).Resources; len(got) != 2 || got[0].ErrorCode == 0 || got[1].ErrorCode != 0 {
		t.Errorf("one that fails, one that does not: %+v", got)
	}
}

func alteration(name string, op int8, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op = name, kmsg.IncrementalAlterConfigOp(op)
	if value != "" {
		config.Value = &value
	}
	return config
}

func alterRequest(kind kmsg.ConfigResourceType, name string, configs ...kmsg.IncrementalAlterConfigsRequestResourceConfig) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.SetVersion(1)
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = kind, name, configs
	req.Resources = append(req.Resources, r)
	return req
}

func TestIncrementalAlterConfigs(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	c := s.dial()
	type step struct {
		what    string
		configs []kmsg.IncrementalAlterConfigsRequestResourceConfig
		code    int16
		name    string
		value   string // "": not set
	}
	one := func(name string, op int8, value string) []kmsg.IncrementalAlterConfigsRequestResourceConfig {
		return []kmsg.IncrementalAlterConfigsRequestResourceConfig{alteration(name, op, value)}
	}
	for version := int16(0); version <= 1; version++ {
		for _, step := range []step{
			{"set", one("retention.ms", 0, "9"), 0, "retention.ms", "9"},
			{"set another", one("segment.ms", 0, "8"), 0, "retention.ms", "9"},
			{"delete", one("retention.ms", 1, ""), 0, "retention.ms", ""},
			{"delete what is not set", one("retention.ms", 1, ""), 0, "retention.ms", ""},
			{"append to the default", one("cleanup.policy", 2, "compact"), 0, "cleanup.policy", "delete,compact"},
			{"append what is there", one("cleanup.policy", 2, "compact"), 0, "cleanup.policy", "delete,compact"},
			{"subtract", one("cleanup.policy", 3, "delete"), 0, "cleanup.policy", "compact"},
			{"append to what is no list", one("retention.ms", 2, "9"), codeInvalidConfig, "retention.ms", ""},
			{"subtract from what is no list", one("retention.ms", 3, "9"), codeInvalidConfig, "retention.ms", ""},
			{"set nothing", one("retention.ms", 0, ""), codeInvalidRequest, "retention.ms", ""},
			{"a fifth operation", one("retention.ms", 4, "9"), codeInvalidRequest, "retention.ms", ""},
			{"an unknown name", one("unknown.name", 0, "9"), codeInvalidConfig, "unknown.name", ""},
			{"a bad value", one("retention.ms", 0, "bad"), codeInvalidConfig, "retention.ms", ""},
			{"a name twice", append(one("retention.ms", 0, "1"), one("retention.ms", 0, "2")...), codeInvalidRequest, "retention.ms", ""},
			{"delete the rest", append(one("cleanup.policy", 1, ""), one("segment.ms", 1, "")...), 0, "segment.ms", ""},
		} {
			req := alterRequest(kmsg.ConfigResourceTypeTopic, "t", step.configs...)
			req.SetVersion(version)
			got := c.ask(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
			if got.ErrorCode != step.code || (got.ErrorMessage != nil) != (step.code != 0) || got.ResourceName != "t" || got.ResourceType != kmsg.ConfigResourceTypeTopic {
				t.Errorf("version %d, %s: %+v, want code %d", version, step.what, got, step.code)
			}
			if value := s.Image().Topics["t"].Config[step.name]; value != step.value {
				t.Errorf("version %d, %s: %s is %q, want %q", version, step.what, step.name, value, step.value)
			}
		}
	}
}

func TestAlterConfigsReplacesTheWholeSet(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	c := s.dial()
	replace := func(version int16, validate bool, kind kmsg.ConfigResourceType, name string, pairs ...string) kmsg.AlterConfigsResponseResource {
		t.Helper()
		req := kmsg.NewPtrAlterConfigsRequest()
		req.SetVersion(version)
		req.ValidateOnly = validate
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		for i := 0; i < len(pairs); i += 2 {
			config := kmsg.AlterConfigsRequestResourceConfig{Name: pairs[i]}
			if pairs[i+1] != "" {
				config.Value = &pairs[i+1]
			}
			r.Configs = append(r.Configs, config)
		}
		req.Resources = append(req.Resources, r)
		got := c.ask(req).(*kmsg.AlterConfigsResponse).Resources[0]
		if (got.ErrorMessage != nil) != (got.ErrorCode != 0) {
			t.Errorf("code %d with message %v", got.ErrorCode, got.ErrorMessage)
		}
		return got
	}
	config := func() map[string]string { return s.Image().Topics["t"].Config }
	for version := int16(0); version <= 2; version++ {
		if got := replace(version, false, 2, "t", "retention.ms", "1", "segment.ms", "2"); got.ErrorCode != 0 || len(config()) != 2 {
			t.Errorf("version %d: %+v, %v", version, got, config())
		}
		if got := replace(version, false, 2, "t", "segment.ms", "3"); got.ErrorCode != 0 || len(config()) != 1 || config()["segment.ms"] != "3" {
			t.Errorf("version %d: %+v, %v", version, got, config())
		}
		if got := replace(version, true, 2, "t"); got.ErrorCode != 0 || len(config()) != 1 {
			t.Errorf("version %d, validate only: %+v, %v", version, got, config())
		}
		for what, got := range map[string]struct {
			resource kmsg.AlterConfigsResponseResource
			want     int16
		}{
			"a name twice":              {replace(version, false, 2, "t", "segment.ms", "1", "segment.ms", "2"), codeInvalidRequest},
			"no value":                  {replace(version, false, 2, "t", "segment.ms", ""), codeInvalidRequest},
			"a bad value":               {replace(version, false, 2, "t", "segment.ms", "bad"), codeInvalidConfig},
			"a bad value, only to see":  {replace(version, true, 2, "t", "segment.ms", "bad"), codeInvalidConfig},
			"a topic that is not there": {replace(version, false, 2, "absent"), codeUnknownTopicOrPartition},
			"a logger":                  {replace(version, false, 8, "1"), codeInvalidRequest},
			"a group":                   {replace(version, false, 32, "g", "consumer.session.timeout.ms", "1"), codeInvalidRequest},
			"a broker that is not here": {replace(version, false, 4, "17", "log.retention.ms", "1"), codeInvalidRequest},
		} {
			if got.resource.ErrorCode != got.want || config()["segment.ms"] != "3" {
				t.Errorf("version %d, %s: %+v, want code %d", version, what, got.resource, got.want)
			}
		}
		if got := replace(version, false, 2, "t"); got.ErrorCode != 0 || len(config()) != 0 {
			t.Errorf("version %d: %+v, %v", version, got, config())
		}
	}
}

func TestAlterSeveralResources(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	s.topic("u", 1)
	c := s.dial()
	req := alterRequest(kmsg.ConfigResourceTypeTopic, "t", alteration("retention.ms", 0, "9"))
	for _, more := range []*kmsg.IncrementalAlterConfigsRequest{
		alterRequest(kmsg.ConfigResourceTypeTopic, "t", alteration("segment.ms", 0, "9")),
		alterRequest(kmsg.ConfigResourceTypeTopic, "u", alteration("segment.ms", 0, "9")),
		alterRequest(kmsg.ConfigResourceTypeTopic, "absent", alteration("segment.ms", 0, "9")),
		alterRequest(kmsg.ConfigResourceTypeBroker, "2", alteration("log.retention.ms", 0, "9")),
	} {
		req.Resources = append(req.Resources, more.Resources...)
	}
	got := c.ask(req).(*kmsg.IncrementalAlterConfigsResponse).Resources
	for i, want := range []int16{codeInvalidRequest, codeInvalidRequest, 0, codeUnknownTopicOrPartition, 0} {
		if got[i].ErrorCode != want {
			t.Errorf("resource %d: %+v, want code %d", i, got[i], want)
		}
	}
	image := s.Image()
	if len(image.Topics["t"].Config) != 0 || image.Topics["u"].Config["segment.ms"] != "9" || image.BrokerConfig[2]["log.retention.ms"] != "9" {
		t.Errorf("t %v, u %v, broker 2 %v", image.Topics["t"].Config, image.Topics["u"].Config, image.BrokerConfig[2])
	}
	whole := kmsg.NewPtrAlterConfigsRequest()
	whole.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: "u"}, {ResourceType: 2, ResourceName: "u"}}
	for _, each := range c.ask(whole).(*kmsg.AlterConfigsResponse).Resources {
		if each.ErrorCode != codeInvalidRequest || len(s.Image().Topics["u"].Config) != 1 {
			t.Errorf("a resource twice: %+v", each)
		}
	}
	req = alterRequest(kmsg.ConfigResourceTypeTopic, "u", alteration("segment.ms", 1, ""))
	req.ValidateOnly = true
	if got := c.ask(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; got.ErrorCode != 0 || len(s.Image().Topics["u"].Config) != 1 {
		t.Errorf("validate only: %+v", got)
	}
}
