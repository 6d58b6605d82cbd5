package protocol

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// codePlan says where the error codes of a response lie: in a field ErrorCode of the message itself, of the elements of its lists, of the elements of theirs, and so on. It is made
// once for each API from kmsg's type, so that an API that is added is counted without another word.
type codePlan struct {
	code  int // the field's number, -1: none
	lists []codeList
}

// codeList is a field that is a list of messages with codes.
type codeList struct {
	field int
	plan  *codePlan
}

// planFor makes the plan of an API's response.
func planFor(key int16) *codePlan {
	p := planOf(reflect.TypeOf(kmsg.ResponseForKey(key)).Elem())
	if p == nil {
		p = &codePlan{code: -1}
	}
	return p
}

// planOf is nil for a message without codes.
func planOf(message reflect.Type) *codePlan {
	p := codePlan{code: -1}
	for i := range message.NumField() {
		f := message.Field(i)
		switch {
		case f.Name == "ErrorCode" && f.Type.Kind() == reflect.Int16:
			p.code = i
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			if within := planOf(f.Type.Elem()); within != nil {
				p.lists = append(p.lists, codeList{i, within})
			}
		}
	}
	if p.code < 0 && len(p.lists) == 0 {
		return nil
	}
	return &p
}

// each calls f with every code in a message, codeNone as well. It allocates nothing.
func (p *codePlan) each(message reflect.Value, f func(int16)) {
	if p.code >= 0 {
		f(int16(message.Field(p.code).Int()))
	}
	for _, l := range p.lists {
		list := message.Field(l.field)
		for i := range list.Len() {
			l.plan.each(list.Index(i), f)
		}
	}
}

// failures counts the error codes of a response.
func (a *apiMetrics) failures(resp kmsg.Response) {
	a.codes.each(reflect.ValueOf(resp).Elem(), a.failed)
}
