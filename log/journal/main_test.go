package journal

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long says that the randomised tests may take minutes.
func long() bool { return os.Getenv("BARNABAS_LONG") != "" }
