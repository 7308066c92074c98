package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/settled-dev/settled/money"
)

// wireVersion is the only version of the shapes so far. A payload may name it in a field "v".
const wireVersion = 1

// ParsePayload reads one request's JSON object, strictly: unknown, missing, misspelt and repeated fields, amounts that are not
// strings, and values out of range are refused with a *FieldError. The kind must be known.
func ParsePayload(kind Kind, raw []byte) (Payload, error) {
	facts, ok := kinds[kind]
	if !ok {
		return nil, &FieldError{Field: "kind", Problem: "is " + quote(string(kind)), Allowed: "a known kind"}
	}
	payload := facts.blank()
	if err := ReadObject(raw, payload); err != nil {
		return nil, err
	}
	return payload, Validate(payload)
}

// ReadObject reads a JSON object into the struct that shape points to, as strictly as ParsePayload reads a request's. Its fields may be
// strings, whole numbers, true or false, times, amounts, and lists of strings or of such structs; those that may be left out have the
// option omitempty or omitzero. It does not look at what the values mean. It returns a *FieldError.
func ReadObject(raw []byte, shape any) error {
	if len(raw) > PayloadBytesMax {
		return &FieldError{Field: "payload", Problem: fmt.Sprintf("has %d bytes", len(raw)),
			Allowed: fmt.Sprintf("up to %d bytes", PayloadBytesMax)}
	}
	if !utf8.Valid(raw) {
		return &FieldError{Field: "payload", Problem: "is not valid UTF-8", Allowed: "a JSON object in UTF-8"}
	}
	target := reflect.ValueOf(shape).Elem()
	if scanObject(raw, target) {
		return nil
	}
	target.SetZero()
	return judgeObject(raw, target)
}

// judgeObject reads what scanObject does not, and says what is wrong with it.
func judgeObject(raw []byte, target reflect.Value) error {
	object, err := parseObject(raw)
	if err != nil {
		return err
	}
	if err := takeVersion(object); err != nil {
		return err
	}
	return assignObject("", object, target)
}

// Validate refuses a payload whose fields are not allowed, with a *FieldError, and puts it into canonical form.
func Validate(payload Payload) error {
	payload.normalize()
	var check fieldCheck
	payload.validate(&check)
	if check.err != nil {
		return check.err
	}
	return nil
}

// DecodePayload reads a payload that acceptance stored. It trusts the text: it was validated before it was stored, perhaps by another
// version.
func DecodePayload(kind Kind, canonical []byte) (Payload, error) {
	facts, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("decode payload: kind %q is unknown to this version", kind)
	}
	payload := facts.blank()
	if scanObject(canonical, reflect.ValueOf(payload).Elem()) {
		return payload, nil
	}
	payload = facts.blank()
	if err := json.Unmarshal(canonical, payload); err != nil {
		return nil, fmt.Errorf("decode payload of %s: %w", kind, err)
	}
	return payload, nil
}

// jsonObject keeps the order of its fields, so that the first wrong one is the one that is named.
type jsonObject struct {
	names  []string
	values map[string]any
}

const objectAllowed = "one JSON object"

func parseObject(raw []byte) (*jsonObject, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	value, err := parseValue(decoder, 0, "")
	if err != nil {
		var bad *FieldError
		if errors.As(err, &bad) {
			return nil, bad
		}
		return nil, &FieldError{Field: "payload", Problem: "is not JSON: " + err.Error(), Allowed: objectAllowed}
	}
	object, ok := value.(*jsonObject)
	if !ok {
		return nil, &FieldError{Field: "payload", Problem: "is " + jsonName(value), Allowed: objectAllowed}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &FieldError{Field: "payload", Problem: "has more after the object", Allowed: objectAllowed}
	}
	return object, nil
}

// depthMax bounds nesting: the deepest shape has an object in a list in an object.
const depthMax = 8

func parseValue(decoder *json.Decoder, depth int, path string) (any, error) {
	if depth > depthMax {
		return nil, &FieldError{Field: "payload", Problem: "is nested too deep", Allowed: "an object of the kind's shape"}
	}
	token, err := decoder.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return parseFields(decoder, depth, path)
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			item, err := parseValue(decoder, depth+1, fmt.Sprintf("%s[%d]", path, len(list)))
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := decoder.Token()
		return list, err
	default:
		return token, nil
	}
}

func parseFields(decoder *json.Decoder, depth int, path string) (*jsonObject, error) {
	object := &jsonObject{values: map[string]any{}}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // a decoder yields only strings here
		if _, twice := object.values[name]; twice {
			return nil, &FieldError{Field: join(path, name), Problem: "is given twice", Allowed: "each field once"}
		}
		value, err := parseValue(decoder, depth+1, join(path, name))
		if err != nil {
			return nil, err
		}
		object.names = append(object.names, name)
		object.values[name] = value
	}
	_, err := decoder.Token()
	return object, err
}

func takeVersion(object *jsonObject) error {
	value, given := object.values["v"]
	if !given {
		return nil
	}
	if number, ok := value.(json.Number); !ok || number.String() != fmt.Sprint(wireVersion) {
		return &FieldError{Field: "v", Problem: "is " + quote(fmt.Sprint(value)), Allowed: fmt.Sprintf("%d, or no such field", wireVersion)}
	}
	delete(object.values, "v")
	for i, name := range object.names {
		if name == "v" {
			object.names = append(object.names[:i], object.names[i+1:]...)
			break
		}
	}
	return nil
}

// join names a field of a field; a foreign name is shown safely.
func join(path, name string) string {
	for i := 0; i < len(name); i++ {
		if !isIDByte(name[i]) {
			name = quote(name)
			break
		}
	}
	if name == "" || len(name) > IDBytesMax {
		name = quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func assignObject(path string, object *jsonObject, target reflect.Value) error {
	shape := target.Type()
	fields := make(map[string]int, shape.NumField())
	var known []string
	for i := range shape.NumField() {
		name, _, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
		fields[name] = i
		known = append(known, name)
	}
	for _, name := range object.names {
		index, ok := fields[name]
		if !ok {
			return &FieldError{Field: join(path, name), Problem: "is unknown", Allowed: "the fields " + strings.Join(known, ", ")}
		}
		if err := assign(join(path, name), object.values[name], target.Field(index)); err != nil {
			return err
		}
	}
	for _, name := range known {
		_, given := object.values[name]
		if tag := shape.Field(fields[name]).Tag.Get("json"); !given && !strings.Contains(tag, ",omitempty") && !strings.Contains(tag, ",omitzero") {
			return &FieldError{Field: join(path, name), Problem: "is missing", Allowed: "an object with this field"}
		}
	}
	return nil
}

var (
	amountType = reflect.TypeFor[money.Amount]()
	timeType   = reflect.TypeFor[time.Time]()
)

func assign(path string, value any, target reflect.Value) error {
	switch {
	case target.Type() == amountType:
		return assignAmount(path, value, target)
	case target.Type() == timeType:
		text, ok := value.(string)
		t, err := time.Parse(time.RFC3339Nano, text)
		if !ok || err != nil {
			return mismatch(path, value, "a string with a time of RFC 3339, such as \"2026-01-02T15:04:05+08:00\"")
		}
		target.Set(reflect.ValueOf(t))
	case target.Kind() == reflect.String:
		text, ok := value.(string)
		if !ok {
			return mismatch(path, value, "a string")
		}
		target.SetString(text)
	case target.Kind() == reflect.Bool:
		flag, ok := value.(bool)
		if !ok {
			return mismatch(path, value, "true or false")
		}
		target.SetBool(flag)
	case target.Kind() == reflect.Int, target.Kind() == reflect.Int64:
		number, ok := value.(json.Number)
		whole, err := number.Int64()
		if !ok || err != nil {
			return mismatch(path, value, "a whole number")
		}
		target.SetInt(whole)
	case target.Kind() == reflect.Slice:
		return assignList(path, value, target)
	default:
		return fmt.Errorf("assign %s: no rule for %s", path, target.Type())
	}
	return nil
}

func assignAmount(path string, value any, target reflect.Value) error {
	text, ok := value.(string)
	if !ok {
		return mismatch(path, value, amountAllowed)
	}
	amount, err := money.Parse(text)
	if err != nil {
		return fieldErrorOf(path, err)
	}
	target.Set(reflect.ValueOf(amount))
	return nil
}

func assignList(path string, value any, target reflect.Value) error {
	ofStrings := target.Type().Elem().Kind() == reflect.String
	list, ok := value.([]any)
	switch {
	case !ok && ofStrings:
		return mismatch(path, value, "a list of strings")
	case !ok:
		return mismatch(path, value, "a list of objects")
	}
	if len(list) > linesMax {
		return &FieldError{Field: path, Problem: fmt.Sprintf("has %d entries", len(list)), Allowed: fmt.Sprintf("up to %d", linesMax)}
	}
	target.Set(reflect.MakeSlice(target.Type(), len(list), len(list)))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if ofStrings {
			if err := assign(at, item, target.Index(i)); err != nil {
				return err
			}
			continue
		}
		object, ok := item.(*jsonObject)
		if !ok {
			return mismatch(at, item, "an object")
		}
		if err := assignObject(at, object, target.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func mismatch(path string, value any, allowed string) error {
	return &FieldError{Field: path, Problem: "is " + jsonName(value), Allowed: allowed}
}

// jsonName describes a JSON value without repeating a large or hostile one.
func jsonName(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return quote(v)
	case json.Number:
		return "the JSON number " + quote(v.String())
	case bool:
		return fmt.Sprintf("%t", v)
	case []any:
		return "a list"
	default:
		return "an object"
	}
}
