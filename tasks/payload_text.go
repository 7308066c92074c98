package tasks

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/settled-dev/settled/money"
)

// canonicalText is a payload's text as it is stored: what encoding/json writes. Usual payloads are written without its help.
func canonicalText(payload Payload) ([]byte, error) {
	if text, ok := appendObject(make([]byte, 0, 256), reflect.ValueOf(payload).Elem()); ok {
		return text, nil
	}
	return json.Marshal(payload)
}

// appendObject appends a struct of texts without escapes, amounts, times in UTC, switches, and lists of such structs, as encoding/json
// would. It says false to every other value: that is encoding/json's to write, or to refuse. The value must be addressable.
func appendObject(buf []byte, from reflect.Value) ([]byte, bool) {
	shape := payloadShapeOf(from.Type())
	if shape == nil {
		return nil, false
	}
	buf = append(buf, '{')
	for i, field := range shape.order {
		value := from.Field(i)
		if field.optional && isEmpty(value) {
			continue
		}
		if buf[len(buf)-1] != '{' {
			buf = append(buf, ',')
		}
		var ok bool
		if buf, ok = appendValue(append(buf, field.head...), value); !ok {
			return nil, false
		}
	}
	return append(buf, '}'), true
}

// isEmpty says what encoding/json leaves out of the kinds that appendValue writes.
func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.String, reflect.Slice:
		return value.Len() == 0
	case reflect.Bool:
		return !value.Bool()
	default:
		return false
	}
}

func appendValue(buf []byte, value reflect.Value) ([]byte, bool) {
	switch from := value.Addr().Interface().(type) {
	case *money.Amount:
		buf, err := from.AppendText(append(buf, '"'))
		return append(buf, '"'), err == nil
	case *time.Time:
		if from.Location() != time.UTC || from.Year() < 0 || from.Year() > 9999 {
			return nil, false
		}
		return append(from.AppendFormat(append(buf, '"'), time.RFC3339Nano), '"'), true
	}
	switch value.Kind() {
	case reflect.String:
		text := value.String()
		return append(append(append(buf, '"'), text...), '"'), isPlain(text)
	case reflect.Slice:
		return appendList(buf, value)
	case reflect.Bool:
		if value.Bool() {
			return append(buf, "true"...), true
		}
		return append(buf, "false"...), true
	default:
		return nil, false
	}
}

func appendList(buf []byte, list reflect.Value) ([]byte, bool) {
	if list.IsNil() {
		return nil, false
	}
	buf = append(buf, '[')
	for n := range list.Len() {
		if n > 0 {
			buf = append(buf, ',')
		}
		var ok bool
		if buf, ok = appendObject(buf, list.Index(n)); !ok {
			return nil, false
		}
	}
	return append(buf, ']'), true
}

// isPlain says that encoding/json writes a text as it is: no controls, quotes or signs of HTML, valid UTF-8, and no line ends of
// JavaScript's.
func isPlain(text string) bool {
	ascii := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(text) && !strings.ContainsAny(text, "\u2028\u2029")
}
