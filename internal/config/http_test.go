package config

import (
	"strings"
	"testing"
)

func TestWhereHTTPIsServed(t *testing.T) {
	for _, c := range []struct {
		name        string
		set         []string
		environment []string
		address     string
		asked       bool
		problem     string
	}{
		{"nothing said", nil, nil, "127.0.0.1:9644", false, ""},
		{"set", []string{"barnabas.http.listener=0.0.0.0:80"}, nil, "0.0.0.0:80", true, ""},
		{"the default, but set", []string{"barnabas.http.listener=127.0.0.1:9644"}, nil, "127.0.0.1:9644", true, ""},
		{"all interfaces", []string{"barnabas.http.listener=:0"}, nil, ":0", true, ""},
		{"off", []string{"barnabas.http.listener="}, nil, "", true, ""},
		{"a variable", nil, []string{"KAFKA_BARNABAS_HTTP_LISTENER=:1234"}, ":1234", true, ""},
		{"the image's", nil, []string{"BARNABAS_DEFAULT_BARNABAS_HTTP_LISTENER=:1234"}, ":1234", false, ""},
		{"no port", []string{"barnabas.http.listener=localhost"}, nil, "", false, "is not host:port"},
		{"a listener wants the default port", []string{"listeners=PLAINTEXT://:9644", "advertised.listeners=PLAINTEXT://localhost:9644"}, nil, "", false, ""},
		{"the same port as a listener", []string{"barnabas.http.listener=:9092"}, nil, "", false, "is on the same port as PLAINTEXT://127.0.0.1:9092"},
	} {
		s, _, err := Load(Input{Set: c.set, Environment: c.environment})
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || s.HTTP != c.address || s.HTTPAsked != c.asked {
			t.Errorf("%s: %v: %+v", c.name, err, s)
		}
	}
}
