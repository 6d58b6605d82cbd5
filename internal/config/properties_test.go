package config

import (
	"strings"
	"testing"
)

func TestProperties(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"# c\n! c\n   # c\n\n", ""},
		{"a=b", "a=b"},
		{"a = b ", "a=b "},
		{"a: b", "a=b"},
		{"a b c", "a=b c"},
		{"a", "a="},
		{"a==b", "a==b"},
		{"a:=b", "a==b"},
		{"a = = b", "a== b"},
		{"a=b\\\n   c\nd=e", "a=bc|d=e"},
		{"a=b\\\\\nc=d", "a=b\\|c=d"},
		{"a=b\\", "a=b"},
		{"a=1\r\nb=2\rc=3", "a=1|b=2|c=3"},
		{`a\ b\=c\:=d`, "a b=c:=d"},
		{`a=\t\n\u0041\u00e9\ud83d\ude00\q`, "a=\t\nAé😀q"},
		{"a=b#c", "a=b#c"},
	}
	for _, test := range tests {
		properties, err := parseProperties(test.text)
		var got []string
		for _, p := range properties {
			got = append(got, p.name+"="+p.value)
		}
		if joined := strings.Join(got, "|"); err != nil || joined != test.want {
			t.Errorf("%q: %q, %v; want %q", test.text, joined, err, test.want)
		}
	}
	for text, want := range map[string]string{"\n=b": "line 2: no name", `a=\u12`: `line 1: malformed \u escape`, `a=\uzzzz`: "malformed", "a=1\n\\\n\\\n=": "line 2: no name"} {
		if _, err := parseProperties(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Properties: no panic; what comes out is not more than what went in; every name is there, every line exists; a plain writing of the result reads the same.
func FuzzProperties(f *testing.F) {
	for _, seed := range []string{"a=b", "a : b\\\n c", `\u0041=\ud83d\ude00`, "#\n!\n\\", "a\\=b c\r\rd", "\f\t=", "\\u"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		properties, err := parseProperties(text)
		if err != nil {
			return
		}
		size, lines := 0, strings.Count(text, "\n")+strings.Count(text, "\r")+1
		var plain strings.Builder
		for _, p := range properties {
			if p.name == "" || p.line < 1 || p.line > lines {
				t.Fatalf("%q on line %d of %d", p.name, p.line, lines)
			}
			size += len(p.name) + len(p.value)
			plain.WriteString(escape(p.name) + "=" + escape(p.value) + "\n")
		}
		if size > 3*len(text) { // an invalid surrogate becomes U+FFFD, three bytes for six
			t.Fatalf("%d bytes out of %d", size, len(text))
		}
		again, err := parseProperties(plain.String())
		if err != nil || len(again) != len(properties) {
			t.Fatalf("%v: %d of %d from %q", err, len(again), len(properties), plain.String())
		}
		for i, p := range properties {
			if again[i].name != p.name || again[i].value != p.value {
				t.Fatalf("%q=%q became %q=%q", p.name, p.value, again[i].name, again[i].value)
			}
		}
	})
}

func escape(text string) string {
	var out strings.Builder
	for i := range len(text) {
		switch b := text[i]; b {
		case '\n':
			out.WriteString(`\n`)
		case '\r':
			out.WriteString(`\r`)
		case '\t':
			out.WriteString(`\t`)
		case '\f':
			out.WriteString(`\f`)
		case '\\', '=', ':', ' ', '#', '!':
			out.WriteByte('\\')
			out.WriteByte(b)
		default:
			out.WriteByte(b)
		}
	}
	return out.String()
}
