package replication

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestCallReachesTheOtherNode asks a node from another one, and from itself.
func TestCallReachesTheOtherNode(t *testing.T) {
	addresses := map[int32]string{}
	open := func(id int32, answer func(context.Context, int32, []byte) ([]byte, error)) *Node {
		n, err := OpenNode(NodeOptions{
			NodeID: id, Dir: filepath.Join(t.TempDir(), "node"), Listen: "127.0.0.1:0", Answer: answer,
			Peers: func(to int32) (string, bool) { a, ok := addresses[to]; return a, ok },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		return n
	}
	one := open(1, nil)
	two := open(2, func(_ context.Context, from int32, body []byte) ([]byte, error) {
		if len(body) == 0 {
			return nil, errors.New("empty")
		}
		return fmt.Appendf(nil, "%d said %s", from, body), nil
	})
	ctx := t.Context()
	if _, err := one.Call(ctx, 2, []byte("hello")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("call to a node without an address: %v", err)
	}
	addresses[1], addresses[2] = one.Addr().String(), two.Addr().String()
	for _, from := range []*Node{one, two} {
		got, err := from.Call(ctx, 2, []byte("hello"))
		for err != nil && errors.Is(err, ErrUnreachable) { // until the backoff after the failed attempt is over
			got, err = from.Call(ctx, 2, []byte("hello"))
		}
		if want := fmt.Sprintf("%d said hello", from.opts.NodeID); string(got) != want || err != nil {
			t.Errorf("answer %q, %v; want %q", got, err, want)
		}
	}
	if _, err := one.Call(ctx, 2, nil); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("a refused call: %v", err)
	}
	if _, err := two.Call(ctx, 1, []byte("hello")); err == nil {
		t.Error("a node without Answer answered")
	}
}
