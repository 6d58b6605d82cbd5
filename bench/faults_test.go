package main

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/log"
)

func TestADamageDoesWhatItSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	whole := make([]byte, 900)
	for _, d := range damages {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := d.do(path, r, 100, 200); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		after, err := os.ReadFile(path)
		bits := 0
		for i, b := range after {
			for ; b != 0; b &= b - 1 {
				if bits++; i < 100 || i >= 200 {
					t.Errorf("%s changed byte %d", d.name, i)
				}
			}
		}
		switch verb, _, _ := strings.Cut(d.name, "-"); verb {
		case "flip":
			if err != nil || len(after) != len(whole) || bits != 1 {
				t.Errorf("%s: %d bytes, %d bits differ, %v", d.name, len(after), bits, err)
			}
		case "cut":
			if err != nil || len(after) != 600 {
				t.Errorf("%s: %d bytes, %v", d.name, len(after), err)
			}
		default:
			if !os.IsNotExist(err) {
				t.Errorf("%s: the file is still there: %v", d.name, err)
			}
		}
	}
}

func TestWhatTheDamagedBytesHeld(t *testing.T) {
	var whole []byte
	var held []log.InspectedBatch
	for i := range 5 { // of ten records each
		b := make([]byte, 100)
		binary.BigEndian.PutUint64(b, uint64(10*i))
		binary.BigEndian.PutUint32(b[23:], 9)
		held = append(held, log.InspectedBatch{Position: int64(len(whole)), Data: b})
		whole = append(whole, b...)
	}
	flipped := slices.Clone(whole)
	flipped[250] ^= 4
	for _, c := range []struct {
		name string
		now  []byte
		lost stretch
	}{{"nothing", whole, stretch{}}, {"a bit", flipped, stretch{20, 30}}, {"cut", whole[:333], stretch{30, 50}}} {
		path := filepath.Join(t.TempDir(), "file.log")
		if err := os.WriteFile(path, c.now, 0o644); err != nil {
			t.Fatal(err)
		}
		if lost, err := lostOf(path, held); err != nil || lost != c.lost {
			t.Errorf("%s: %v, wanted %v (%v)", c.name, lost, c.lost, err)
		}
	}
	spared := []stretch{{20, 30}, {30, 35}}
	if !within(spared, 22, 35) || within(spared, 19, 21) || within(spared, 34, 36) {
		t.Error("what lies within stretches of offsets is not seen")
	}
}
