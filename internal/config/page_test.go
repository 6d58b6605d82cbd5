package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/configuration.md")

func TestConfigurationPageIsCurrent(t *testing.T) {
	const path = "../../docs/configuration.md"
	page := Page()
	if *rewrite {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(path)
	if err != nil || string(there) != page {
		t.Errorf("docs/configuration.md is not what the table says (%v): go generate ./internal/config", err)
	}
	for _, d := range serverTable {
		if !strings.Contains(page, "| `"+d.Name+"` |") {
			t.Errorf("%s is not on the page", d.Name)
		}
	}
}

// Properties: no panic, whatever a setting is set to; a server that loads has everything that the broker takes for granted.
func FuzzLoad(f *testing.F) {
	f.Add("listeners", "PLAINTEXT://[::1]:9092,B://:0", "listener.security.protocol.map", "B:PLAINTEXT,PLAINTEXT:PLAINTEXT")
	f.Add("controller.quorum.voters", "1@a:1,2@b:2", "controller.listener.names", "PLAINTEXT")
	f.Add("log.dirs", ",", "process.roles", "")
	f.Add("node.id", "2147483648", "KAFKA_", "")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		s, _, err := Load(Input{Set: []string{name1 + "=" + value1, name2 + "=" + value2}, Environment: []string{name1 + "=" + value1}})
		if err != nil {
			return
		}
		if s.NodeID < 0 || s.LogDir == "" || len(s.Listeners) != len(s.AdvertisedListeners) || s.Broker && len(s.Listeners) == 0 || s.NumPartitions < 1 {
			t.Fatalf("%+v", s)
		}
		s.BrokerRows(nil, nil)
	})
}
