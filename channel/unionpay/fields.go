package unionpay

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// field is a name and a value of a message, decoded.
type field struct{ name, value string }

// fields are a message, sorted by name; no name is there twice. A value is free of what would end it in the text that is signed, so that
// each such text belongs to one message only (U2).
type fields []field

// get returns the field's value; "" when it is not there.
func (f fields) get(name string) string {
	i, found := slices.BinarySearchFunc(f, name, func(f field, name string) int { return cmp.Compare(f.name, name) })
	if !found {
		return ""
	}
	return f[i].value
}

// parseForm reads the body of a notice, which is encoded as an HTML form.
func parseForm(body string) (fields, error) {
	var read fields
	for pair := range strings.SplitSeq(body, "&") {
		name, encoded, found := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(encoded)
		if !found || err != nil {
			return nil, errors.New("is not an encoded form")
		}
		read = append(read, field{name, value})
	}
	return read.sort()
}

// parseAnswer reads the body of an answer: name=value joined with &, nothing encoded.
func parseAnswer(body string) (fields, error) {
	var read fields
	for more := true; more; {
		name, rest, found := strings.Cut(body, "=")
		if !found {
			return nil, errors.New("is not made of names and values")
		}
		end := valueEnd(rest)
		read = append(read, field{name, rest[:end]})
		if more = end < len(rest); more {
			body = rest[end+1:]
		}
	}
	return read.sort()
}

// valueEnd is where a value ends that is not encoded: at the first & outside of braces and brackets. They do not nest.
func valueEnd(text string) int {
	var closing byte
	for i := range len(text) {
		switch c := text[i]; {
		case closing != 0:
			if c == closing {
				closing = 0
			}
		case c == '{':
			closing = '}'
		case c == '[':
			closing = ']'
		case c == '&':
			return i
		}
	}
	return len(text)
}

// sort brings the fields into the order of their names, and refuses what would make the signed text ambiguous.
func (f fields) sort() (fields, error) {
	slices.SortFunc(f, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	for i, field := range f {
		switch {
		case !isName(field.name):
			return nil, errors.New("has a name that is empty or has other characters than letters, digits and _")
		case i > 0 && f[i-1].name == field.name:
			return nil, fmt.Errorf("has %s twice", field.name)
		case valueEnd(field.value+"&") != len(field.value):
			return nil, fmt.Errorf("has a value of %s that does not end by itself", field.name)
		}
	}
	return f, nil
}

func isName(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return name != "" && len(name) <= 64 && strings.Trim(name, allowed) == ""
}
