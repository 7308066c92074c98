package strictjson

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// Kind says what a JSON value is. The zero Kind is of a field that is not there.
type Kind uint8

// The kinds.
const (
	Absent Kind = iota
	Null
	Boolean
	Number
	Text
	List
	Fields
)

// Value is a JSON value.
type Value struct {
	Kind   Kind
	Text   string  // of Text its content; of Number and Boolean as it was written; otherwise empty
	Items  []Value // of a List
	Fields Object  // of Fields
	Raw    string  // as it was written, without the white space around it: some channels sign that
}

// Object is a JSON object. Its few fields are searched in turn, which is faster than a map of them is made.
type Object []Field

// Field is a field of an object; its name is compared exactly.
type Field struct {
	Name  string
	Value Value
}

// Get returns the field's value; of the Kind Absent when there is none.
func (o Object) Get(name string) Value {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return Value{}
}

const (
	// depthMax bounds nesting. The deepest message has goods in a list in a promotion in a list.
	depthMax = 16
	// fieldsMax bounds the fields of one object, which are compared with each other. The widest message has some twenty.
	fieldsMax = 128
)

var errNotJSON = errors.New("is not JSON in UTF-8")

// Parse reads text that is one JSON object in UTF-8, and nothing else. A field that comes twice, at any depth, deep nesting and very
// many fields are refused. Errors complete a sentence that begins with the text's name, and quote nothing of it.
func Parse(raw []byte) (Object, error) {
	if !utf8.Valid(raw) {
		return nil, errNotJSON
	}
	p := parser{text: string(raw)}
	top, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.next() != 0 || p.at < len(p.text) {
		return nil, errNotJSON
	}
	if top.Kind != Fields {
		return nil, errors.New("is not a JSON object")
	}
	return top.Fields, nil
}

// parser reads JSON once, from left to right. Strings are cut out of its text, not copied.
type parser struct {
	text string
	at   int
}

// next skips white space and returns the byte there; 0 at the end, and for a zero byte, which JSON has nowhere.
func (p *parser) next() byte {
	for ; p.at < len(p.text); p.at++ {
		switch b := p.text[p.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

// take moves past the byte if it comes next.
func (p *parser) take(b byte) bool {
	if p.next() != b {
		return false
	}
	p.at++
	return true
}

func (p *parser) value(depth int) (Value, error) {
	if depth > depthMax {
		return Value{}, errors.New("is nested too deep")
	}
	b := p.next()
	start := p.at
	v, err := p.kind(b, depth)
	if err == nil {
		v.Raw = p.text[start:p.at]
	}
	return v, err
}

// kind reads the value that begins with the byte.
func (p *parser) kind(b byte, depth int) (Value, error) {
	switch b {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case '"':
		s, err := p.string()
		return Value{Kind: Text, Text: s}, err
	case 't':
		return p.literal("true", Value{Kind: Boolean, Text: "true"})
	case 'f':
		return p.literal("false", Value{Kind: Boolean, Text: "false"})
	case 'n':
		return p.literal("null", Value{Kind: Null})
	default:
		return p.number()
	}
}

func (p *parser) object(depth int) (Value, error) {
	v := Value{Kind: Fields}
	p.at++ // the bracket
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') || p.next() != '"' {
			return Value{}, errNotJSON
		}
		name, err := p.string()
		if err != nil {
			return Value{}, err
		}
		if !p.take(':') {
			return Value{}, errNotJSON
		}
		if v.Fields.Get(name).Kind != Absent {
			return Value{}, errors.New("has a field twice")
		}
		if len(v.Fields) == fieldsMax {
			return Value{}, errors.New("has too many fields")
		}
		content, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		if v.Fields == nil && depth <= roomyDepth {
			v.Fields = make(Object, 0, roomyFields)
		}
		v.Fields = append(v.Fields, Field{name, content})
	}
	return v, nil
}

// A notice's objects have some ten fields, whose room is made at once. Only near the top: deeper there may be any number of objects with
// a field each, whose room would be a hundred times what was sent.
const (
	roomyDepth  = 1
	roomyFields = 12
)

func (p *parser) list(depth int) (Value, error) {
	v := Value{Kind: List}
	p.at++ // the bracket
	for first := true; !p.take(']'); first = false {
		if !first && !p.take(',') {
			return Value{}, errNotJSON
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		v.Items = append(v.Items, item)
	}
	return v, nil
}

// string reads a string, whose quote comes next. Half of a surrogate pair becomes the replacement character.
func (p *parser) string() (string, error) {
	start, escaped := p.at, false
	for p.at++; p.at < len(p.text); p.at++ {
		switch b := p.text[p.at]; {
		case b == '"':
			p.at++
			if !escaped {
				return p.text[start+1 : p.at-1], nil
			}
			var s string
			if json.Unmarshal([]byte(p.text[start:p.at]), &s) != nil {
				return "", errNotJSON
			}
			return s, nil
		case b == '\\':
			escaped = true
			p.at++ // whatever follows does not end the string
		case b < ' ':
			return "", errNotJSON
		}
	}
	return "", errNotJSON
}

func (p *parser) literal(word string, v Value) (Value, error) {
	if !strings.HasPrefix(p.text[p.at:], word) {
		return Value{}, errNotJSON
	}
	p.at += len(word)
	return v, nil
}

func (p *parser) number() (Value, error) {
	start := p.at
	p.skip('-')
	if !p.skip('0') && !p.digits() {
		return Value{}, errNotJSON
	}
	if p.skip('.') && !p.digits() {
		return Value{}, errNotJSON
	}
	if p.skip('e') || p.skip('E') {
		if !p.skip('+') {
			p.skip('-')
		}
		if !p.digits() {
			return Value{}, errNotJSON
		}
	}
	return Value{Kind: Number, Text: p.text[start:p.at]}, nil
}

// skip moves past the byte if it is right here.
func (p *parser) skip(b byte) bool {
	if p.at == len(p.text) || p.text[p.at] != b {
		return false
	}
	p.at++
	return true
}

// digits moves past one digit or more.
func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}
