package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A decoder that believes what a frame says about itself can be made to allocate a hundred times the frame's size, by an array length, or to
// spin for minutes, by a count of tagged fields. So a body is walked first, against the shape of its schema, without allocating anything: it must
// really contain what it announces, and its decoded form must be within bounds. Shapes are not written down: they are found by asking kmsg, once
// for each version of each API, which fields change the encoding.

// kind says how a field lies on the wire.
type kind uint8

const (
	fixed    kind = iota // size bytes
	str                  // string, null or not
	blob                 // bytes, null or not
	array                // of elem
	inline               // elem itself
	optional             // a byte: negative for null, else elem follows
)

// field is one field of a shape.
type field struct {
	kind kind
	size int
	elem *shape
}

// shape is the layout of a request, or of the elements of an array in it, at one version.
type shape struct {
	fields   []field
	flexible bool              // strings and arrays are compact, and tags follow
	tagged   map[uint64]*shape // the known tags; others are skipped
	width    int64             // bytes of one in memory
}

// errShape is the error for a body that does not contain what it announces.
var errShape = errors.New("the body does not have the shape of its version")

// scan walks a body, and returns what its decoded form takes in memory, records and other byte fields left out.
func (s *shape) scan(body []byte) (int64, error) {
	r := scanner{b: body}
	r.walk(s)
	if r.bad {
		return 0, errShape
	}
	return r.cost, nil
}

// scanner walks over bytes. Once bad, it stays bad and has no bytes left.
type scanner struct {
	b    []byte
	bad  bool
	cost int64
}

func (r *scanner) span(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *scanner) uint16() uint16 {
	if b := r.span(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *scanner) int32() int32 {
	if b := r.span(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *scanner) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads the length of an array, string or byte field; -1 is null.
func (r *scanner) length(k kind, flexible bool) int {
	switch {
	case flexible:
		return int(r.uvarint()) - 1
	case k == str:
		return int(int16(r.uint16()))
	}
	return int(r.int32())
}

// tags skips a section of tagged fields, after a look into those that are known.
func (r *scanner) tags(known map[uint64]*shape) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		tag, size := r.uvarint(), r.uvarint()
		content := r.span(int(size))
		r.cost += 64
		if s := known[tag]; s != nil && !r.bad {
			in := scanner{b: content}
			in.walk(s)
			r.cost += in.cost
			if in.bad {
				r.bad, r.b = true, nil
			}
		}
	}
}

func (r *scanner) walk(s *shape) {
	for i := range s.fields {
		if r.bad {
			return
		}
		f := &s.fields[i]
		switch f.kind {
		case fixed:
			r.span(f.size)
		case str, blob:
			if n := r.length(f.kind, s.flexible); n > 0 {
				r.span(n)
				if f.kind == str {
					r.cost += int64(n)
				}
			}
		case array:
			n := r.length(array, s.flexible)
			if n > len(r.b) {
				r.bad, r.b = true, nil
				return
			}
			r.cost += max(int64(n), 0) * f.elem.width
			for ; n > 0 && !r.bad; n-- {
				r.walk(f.elem)
			}
		case inline:
			r.walk(f.elem)
		case optional:
			if b := r.span(1); b != nil && int8(b[0]) >= 0 {
				r.cost += f.elem.width
				r.walk(f.elem)
			}
		}
	}
	if s.tagged != nil {
		r.tags(s.tagged)
	}
}

// shapes remembers the shape of each version of each API.
type shapes struct{ m sync.Map }

func (s *shapes) of(key, version int16) *shape {
	id := int32(key)<<16 | int32(version)
	if known, ok := s.m.Load(id); ok {
		return known.(*shape)
	}
	found := findShape(key, version)
	s.m.Store(id, found)
	return found
}

// findShape asks kmsg how a request is encoded.
func findShape(key, version int16) *shape {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	setDefault(reflect.ValueOf(req))
	p := prober{flexible: req.IsFlexible(), encode: func() []byte { return req.AppendTo(nil) }}
	return p.structure(reflect.ValueOf(req).Elem())
}

// prober finds which fields of a message are on the wire, by changing one at a time.
type prober struct {
	flexible bool
	encode   func() []byte
}

// structure finds the shape of v, a struct that is a part of the message.
func (p *prober) structure(v reflect.Value) *shape {
	s := &shape{flexible: p.flexible, width: int64(v.Type().Size())}
	if p.flexible {
		s.tagged = map[uint64]*shape{}
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Version" || name == "UnknownTags" {
			continue
		}
		f, tag, present := p.field(v.Field(i))
		switch {
		case !present:
		case tag >= 0:
			s.tagged[uint64(tag)] = &shape{flexible: p.flexible, fields: []field{f}}
		default:
			s.fields = append(s.fields, f)
		}
	}
	return s
}

// field finds whether and how v is on the wire; tag is -1 unless it is a tagged field.
func (p *prober) field(v reflect.Value) (f field, tag int, present bool) {
	before := p.encode()
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	defer func() { v.Set(old) }()

	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{1})
			return p.sized(field{kind: blob}, before)
		}
		return p.list(v, before)
	case reflect.String:
		v.SetString("x")
		return p.sized(field{kind: str}, before)
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String {
			x := "x"
			v.Set(reflect.ValueOf(&x))
			return p.sized(field{kind: str}, before)
		}
		v.Set(reflect.New(v.Type().Elem()))
		setDefault(v)
		if bytes.Equal(before, p.encode()) {
			return f, -1, false
		}
		return field{kind: optional, elem: p.structure(v.Elem())}, -1, true
	case reflect.Struct:
		return p.embedded(v, before)
	}
	change(v)
	after := p.encode()
	if bytes.Equal(before, after) {
		return f, -1, false
	}
	tag = -1
	if len(after) != len(before) {
		tag = tagAt(before, after)
	}
	return field{kind: fixed, size: width(v)}, tag, true
}

// sized finishes the probe of a string or byte field that was changed to one byte.
func (p *prober) sized(f field, before []byte) (field, int, bool) {
	after := p.encode()
	if bytes.Equal(before, after) {
		return f, -1, false
	}
	if p.flexible && len(after)-len(before) > 1 {
		return f, tagAt(before, after), true
	}
	return f, -1, true
}

// list probes an array: with one element, and with two to see whether it is tagged.
func (p *prober) list(v reflect.Value, before []byte) (f field, tag int, present bool) {
	v.Set(reflect.MakeSlice(v.Type(), 2, 2))
	setDefault(v.Index(0).Addr())
	setDefault(v.Index(1).Addr())
	two := p.encode()
	if bytes.Equal(before, two) {
		return f, -1, false
	}
	v.Set(v.Slice(0, 1))
	one := p.encode()
	tag = -1
	if len(one)-len(before) != len(two)-len(one) {
		tag = tagAt(before, one)
	}
	elem := v.Index(0)
	if elem.Kind() == reflect.Struct {
		return field{kind: array, elem: p.structure(elem)}, tag, true
	}
	g, _, _ := p.field(elem)
	return field{kind: array, elem: &shape{flexible: p.flexible, fields: []field{g}, width: int64(elem.Type().Size())}}, tag, true
}

// embedded probes a struct that is a field. Being tagged shows in its fields: at their defaults it is not there at all.
func (p *prober) embedded(v reflect.Value, before []byte) (f field, tag int, present bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Name == "UnknownTags" {
			continue
		}
		if _, t, ok := p.field(v.Field(i)); ok {
			present, tag = true, t
			break
		}
	}
	if !present {
		return f, -1, false
	}
	if tag >= 0 { // make it appear, so that its fields can be told apart
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				change(v.Field(i))
				break
			}
		}
	}
	return field{kind: inline, elem: p.structure(v)}, tag, true
}

// tagAt is the tag that appeared: its number follows the count, the first byte that changed.
func tagAt(before, after []byte) int {
	for i := range before {
		if before[i] != after[i] {
			return int(after[i+1])
		}
	}
	panic(fmt.Sprintf("no tag appeared: % x, % x", before, after))
}

// change gives a scalar another value.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Array:
		v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	default:
		v.SetInt(v.Int() + 1)
	}
}

func width(v reflect.Value) int { return int(v.Type().Size()) }

// setDefault calls v's Default method, if it has one.
func setDefault(v reflect.Value) {
	if d, ok := v.Interface().(interface{ Default() }); ok {
		d.Default()
	}
}
