package cli

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseProperties(t *testing.T) {
	got, err := parseProperties(strings.NewReader(`
# a comment
! another
bootstrap.servers=a:9092,b:9092
client.id : me
security.protocol SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
   username="u" \
   password="a=b";
empty=
flag
path=C:\\x
bootstrap.servers = c:1
last=1\`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"bootstrap.servers": "c:1", "client.id": "me", "security.protocol": "SASL_SSL", "empty": "", "flag": "", "path": `C:\x`, "last": "1",
		"sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="a=b";`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q\nwant\n%q", got, want)
	}
}

func FuzzParseProperties(f *testing.F) {
	// Properties: no panic; every name is free of the separators.
	f.Add("a=b\nc:d\\\n e\n#x\nf")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseProperties(strings.NewReader(s))
		if err != nil {
			return
		}
		for name := range got {
			if strings.ContainsAny(name, "=: \t\n") {
				t.Fatalf("%q is a name in %q", name, s)
			}
		}
	})
}

func TestWithPort(t *testing.T) {
	for in, want := range map[string]string{"a": "a:9092", "a:1": "a:1", "PLAINTEXT://a:1": "a:1", "[::1]:5": "[::1]:5", "[::1]": "[::1]:9092", "::1": "[::1]:9092"} {
		if got, err := withPort(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if got, err := withPort(""); err == nil {
		t.Errorf("empty: %q", got)
	}
}
