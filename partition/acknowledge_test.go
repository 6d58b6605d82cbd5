package partition

import (
	"go/build"
	"testing"
)

// The build that breaks the promise of acks=all has to be asked for.
func TestOnlyATagMakesTheUnsafeBuild(t *testing.T) {
	if answerWhenStored {
		t.Error("these tests run in the build that acknowledges before a majority has stored")
	}
	for _, c := range []struct {
		tags   []string
		safe   bool
		unsafe bool
	}{{nil, true, false}, {[]string{"unsafeack"}, false, true}} {
		context := build.Default
		context.BuildTags = c.tags
		safe, err := context.MatchFile(".", "acknowledge.go")
		if err != nil {
			t.Fatal(err)
		}
		unsafe, err := context.MatchFile(".", "acknowledge_unsafe.go")
		if err != nil {
			t.Fatal(err)
		}
		if safe != c.safe || unsafe != c.unsafe {
			t.Errorf("with tags %v: acknowledge.go %t, acknowledge_unsafe.go %t", c.tags, safe, unsafe)
		}
	}
}
