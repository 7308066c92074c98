package alipay

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// NoticeBytesMax bounds the body of a notice. Real ones have one to four kilobytes.
const NoticeBytesMax = 64 << 10

// Limits of a form.
const (
	fieldsMax    = 128 // the widest notice has some forty
	nameBytesMax = 64
)

// form is the fields of a message, sorted by name, each name once. Values are decoded and in the message's charset.
type form []field

type field struct{ name, value string }

// parseForm reads a body. Its errors quote nothing of it.
func parseForm(body []byte) (form, error) {
	if len(body) > NoticeBytesMax {
		return nil, fmt.Errorf("has %d bytes", len(body))
	}
	if bytes.Count(body, []byte("&")) >= fieldsMax {
		return nil, errors.New("has too many fields")
	}
	var f form
	for part := range strings.SplitSeq(string(body), "&") {
		rawName, rawValue, found := strings.Cut(part, "=")
		name, nameErr := url.QueryUnescape(rawName)
		value, valueErr := url.QueryUnescape(rawValue)
		if !found || nameErr != nil || valueErr != nil {
			return nil, errors.New("is not a form")
		}
		if name == "" || len(name) > nameBytesMax || nameLen(name) < len(name) {
			return nil, errors.New("has a name of other characters than a-z 0-9 _")
		}
		f = append(f, field{name, value})
	}
	slices.SortFunc(f, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(f); i++ {
		if f[i].name == f[i-1].name {
			return nil, errors.New("has a name twice")
		}
	}
	return f, nil
}

// nameLen is how many of the first bytes can be a name's.
func nameLen(s string) int {
	for i := range len(s) {
		if b := s[i]; b != '_' && (b < 'a' || b > 'z') && (b < '0' || b > '9') {
			return i
		}
	}
	return len(s)
}

// get returns a field's value; "" when it is not there or empty.
func (f form) get(name string) string {
	i, found := slices.BinarySearchFunc(f, name, func(f field, name string) int { return strings.Compare(f.name, name) })
	if !found {
		return ""
	}
	return f[i].value
}

// signedText is what the signature is over (A2). keepEmpty false gives the other form, which some libraries take and Alipay does not.
func (f form) signedText(keepEmpty bool) []byte {
	var text []byte
	for _, field := range f {
		if field.name == "sign" || field.name == "sign_type" || field.name == "alipay_cert_sn" || field.value == "" && !keepEmpty {
			continue
		}
		if len(text) > 0 {
			text = append(text, '&')
		}
		text = append(append(append(text, field.name...), '='), field.value...)
	}
	return text
}

// hasEmpty says whether an empty value is signed.
func (f form) hasEmpty() bool {
	return slices.ContainsFunc(f, func(f field) bool { return f.value == "" && f.name != "sign" && f.name != "alipay_cert_sn" })
}

// ambiguous returns the name of a field whose value could be read as the end of it and another field (A3); "" when there is none. Who
// can choose such a value, as a subject, could else have Alipay sign one text and send it as other fields.
func (f form) ambiguous() string {
	for _, field := range f {
		for rest := field.value; ; {
			_, after, found := strings.Cut(rest, "&")
			if !found {
				break
			}
			if n := nameLen(after); n > 0 && strings.HasPrefix(after[n:], "=") {
				return field.name
			}
			rest = after
		}
	}
	return ""
}
