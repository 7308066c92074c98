package tasks

import (
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/settled-dev/settled/money"
)

// scanObject reads the JSON object that a producer usually writes straight into the struct that target is: known fields of text, each
// once, without escapes, and lists of such objects. It says false to every other text, and may have written to target by then: that
// text is left to who asked: judgeObject for a producer's, encoding/json for a stored one. What both read they read alike; they take ten
// and three times as long.
func scanObject(text []byte, target reflect.Value) bool {
	scan := payloadScan{text: text}
	scan.spaces()
	if !scan.object(target) {
		return false
	}
	scan.spaces()
	return scan.at == len(scan.text)
}

// payloadScan is a text and how far it was read.
type payloadScan struct {
	text []byte
	at   int
}

func (s *payloadScan) spaces() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// take reads a sign, and the spaces on both of its sides.
func (s *payloadScan) take(sign byte) bool {
	s.spaces()
	if s.at == len(s.text) || s.text[s.at] != sign {
		return false
	}
	s.at++
	s.spaces()
	return true
}

// quoted reads a string that has no escape.
func (s *payloadScan) quoted() ([]byte, bool) {
	if s.at == len(s.text) || s.text[s.at] != '"' {
		return nil, false
	}
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			content := s.text[s.at+1 : i]
			s.at = i + 1
			return content, true
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}

func (s *payloadScan) object(target reflect.Value) bool {
	shape := payloadShapeOf(target.Type())
	if shape == nil || !s.take('{') {
		return false
	}
	for seen := uint64(0); ; {
		name, ok := s.quoted()
		if !ok || !s.take(':') {
			return false
		}
		index, known := shape.fields[string(name)]
		if !known || seen&(1<<index) != 0 || !s.field(target.Field(index)) {
			return false
		}
		seen |= 1 << index
		if s.take(',') {
			continue
		}
		return s.take('}') && seen&shape.required == shape.required
	}
}

func (s *payloadScan) field(target reflect.Value) bool {
	if target.Kind() == reflect.Slice {
		return s.list(target)
	}
	content, ok := s.quoted()
	if !ok {
		return false
	}
	var err error
	switch into := target.Addr().Interface().(type) {
	case *money.Amount:
		*into, err = money.Parse(string(content))
	case *time.Time:
		*into, err = time.Parse(time.RFC3339Nano, string(content))
	default:
		if target.Kind() != reflect.String {
			return false
		}
		target.SetString(string(content))
	}
	return err == nil
}

// list reads objects; a list of none is left to who asked.
func (s *payloadScan) list(target reflect.Value) bool {
	if !s.take('[') {
		return false
	}
	for n := 0; ; n++ {
		if n == linesMax {
			return false
		}
		target.Grow(1)
		target.SetLen(n + 1)
		if !s.object(target.Index(n)) {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// payloadShape is what reading and writing know of a struct: its fields by their names on the wire, which of them must be given, and all
// of them in their order.
type payloadShape struct {
	fields   map[string]int
	required uint64
	order    []payloadField
}

type payloadField struct {
	head     string // the name as it is written, quoted and with its colon
	optional bool   // left out when it is empty
}

var payloadShapes sync.Map // of reflect.Type

// payloadShapeOf is nil for a struct of more fields than a scan can count.
func payloadShapeOf(of reflect.Type) *payloadShape {
	if known, ok := payloadShapes.Load(of); ok {
		shape, _ := known.(*payloadShape)
		return shape
	}
	if of.Kind() != reflect.Struct || of.NumField() > 64 {
		return nil
	}
	shape := &payloadShape{fields: make(map[string]int, of.NumField())}
	for i := range of.NumField() {
		name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		optional := options == "omitempty"
		shape.fields[name] = i
		shape.order = append(shape.order, payloadField{head: `"` + name + `":`, optional: optional})
		if !optional {
			shape.required |= 1 << i
		}
	}
	payloadShapes.Store(of, shape)
	return shape
}
