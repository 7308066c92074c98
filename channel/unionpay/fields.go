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

// fields are a message, sorted by name; no name is there twice.
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
	message, err := read.sort()
	if err != nil {
		return nil, err
	}
	if name := message.ambiguous(); name != "" {
		return nil, fmt.Errorf("has a value of %s that could end elsewhere", name)
	}
	return message, nil
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
	return read.ended()
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

// sort brings the fields into the order of their names, as they are signed.
func (f fields) sort() (fields, error) {
	slices.SortFunc(f, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	for i, field := range f {
		if field.name == "" || nameLen(field.name) != len(field.name) {
			return nil, errors.New("has a name that is empty or has other characters than letters, digits and _")
		}
		if i > 0 && f[i-1].name == field.name {
			return nil, fmt.Errorf("has %s twice", field.name)
		}
	}
	return f, nil
}

// ended sorts the fields of an answer or a request, and refuses a value that does not end where valueEnd would end it: so each signed text
// belongs to one of them only (U2).
func (f fields) ended() (fields, error) {
	message, err := f.sort()
	if err != nil {
		return nil, err
	}
	for _, field := range message {
		if valueEnd(field.value+"&") != len(field.value) {
			return nil, fmt.Errorf("has a value of %s that does not end by itself", field.name)
		}
	}
	return message, nil
}

// ambiguous returns the name of a field of a notice with which the signed text could be cut into other fields (U2); "" when there is
// none. A value that is wrapped in a pair of braces or brackets is one, whatever is between them. So where a value begins such a pair, no
// later one may end it; and no other value may hold what could be a field that comes after it.
func (f fields) ambiguous() string {
	later := "" // what a pair that is left open could be ended by
	for _, field := range slices.Backward(f) {
		closing := closingOf(field.value)
		end := strings.IndexByte(field.value, closing)
		switch {
		case closing != 0 && end == len(field.value)-1: // wrapped
		case closing != 0 && end < 0 && strings.IndexByte(later, closing) >= 0, field.holdsLater():
			return field.name
		}
		for _, closing := range []string{"}", "]"} {
			if strings.Contains(field.value, closing) && !strings.Contains(later, closing) {
				later += closing
			}
		}
	}
	return ""
}

// closingOf is what ends the pair that a value begins with; 0 when it begins with none.
func closingOf(value string) byte {
	switch {
	case strings.HasPrefix(value, "{"):
		return '}'
	case strings.HasPrefix(value, "["):
		return ']'
	}
	return 0
}

// holdsLater says whether the value has an & with a name and = behind it, of a field that would come after this one. A name that would
// come before is no field: the text that is signed is sorted.
func (f field) holdsLater() bool {
	for _, after, found := strings.Cut(f.value, "&"); found; _, after, found = strings.Cut(after, "&") {
		if n := nameLen(after); n > 0 && strings.HasPrefix(after[n:], "=") && after[:n] > f.name {
			return true
		}
	}
	return false
}

// nameLen is how many of the first bytes can be a name's; a name has up to 64.
func nameLen(text string) int {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	for i := range min(len(text), 64) {
		if strings.IndexByte(allowed, text[i]) < 0 {
			return i
		}
	}
	return min(len(text), 64)
}
