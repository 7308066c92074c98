package wechat

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// kind says what a JSON value is. The zero kind is of a field that is not there.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text
	list
	fields
)

// value is a JSON value. text is the content of a string, or a number as it was written.
type value struct {
	kind   kind
	text   string
	items  []value
	fields object
}

// object is a JSON object. Its few fields are searched in turn, which is faster than a map of them is made.
type object []field

type field struct {
	name  string
	value value
}

// get returns the field's value; of the kind absent when there is none.
func (o object) get(name string) value {
	for i := range o {
		if o[i].name == name {
			return o[i].value
		}
	}
	return value{}
}

const (
	// depthMax bounds nesting. The deepest message has goods in a list in a promotion in a list.
	depthMax = 16
	// fieldsMax bounds the fields of one object, which are compared with each other. The widest message has some twenty.
	fieldsMax = 128
)

var errNotJSON = errors.New("is not JSON in UTF-8")

// parseObject reads text that is one JSON object, strictly (W4). Its errors quote nothing of the text.
func parseObject(raw []byte) (object, error) {
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
	if top.kind != fields {
		return nil, errors.New("is not a JSON object")
	}
	return top.fields, nil
}

// parser reads JSON once, from left to right. Strings are cut out of its text, not copied. encoding/json takes as long for a
// notice as the verification of its signature.
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

func (p *parser) value(depth int) (value, error) {
	if depth > depthMax {
		return value{}, errors.New("is nested too deep")
	}
	switch b := p.next(); b {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case '"':
		s, err := p.string()
		return value{kind: text, text: s}, err
	case 't':
		return p.literal("true", boolean)
	case 'f':
		return p.literal("false", boolean)
	case 'n':
		return p.literal("null", null)
	default:
		return p.number()
	}
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: fields}
	p.at++ // the bracket
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') || p.next() != '"' {
			return value{}, errNotJSON
		}
		name, err := p.string()
		if err != nil {
			return value{}, err
		}
		if !p.take(':') {
			return value{}, errNotJSON
		}
		if v.fields.get(name).kind != absent {
			return value{}, errors.New("has a field twice")
		}
		if len(v.fields) == fieldsMax {
			return value{}, errors.New("has too many fields")
		}
		content, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.fields = append(v.fields, field{name, content})
	}
	return v, nil
}

func (p *parser) list(depth int) (value, error) {
	v := value{kind: list}
	p.at++ // the bracket
	for first := true; !p.take(']'); first = false {
		if !first && !p.take(',') {
			return value{}, errNotJSON
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
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

func (p *parser) literal(word string, kind kind) (value, error) {
	if !strings.HasPrefix(p.text[p.at:], word) {
		return value{}, errNotJSON
	}
	p.at += len(word)
	return value{kind: kind}, nil
}

func (p *parser) number() (value, error) {
	start := p.at
	p.skip('-')
	if !p.skip('0') && !p.digits() {
		return value{}, errNotJSON
	}
	if p.skip('.') && !p.digits() {
		return value{}, errNotJSON
	}
	if p.skip('e') || p.skip('E') {
		if !p.skip('+') {
			p.skip('-')
		}
		if !p.digits() {
			return value{}, errNotJSON
		}
	}
	return value{kind: number, text: p.text[start:p.at]}, nil
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
