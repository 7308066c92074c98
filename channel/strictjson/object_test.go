package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse compares the parser with encoding/json, which is asked in three steps: is it valid, has it a field twice, what is it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : 1 } `, `{"a" :	{ "b" : [ 1 ] } , "c" : "\/" }`, `{"a":[1,-0.5e+7,"x",true,false,null,{}]}`, `{"a":1,}`, `{"a" 1}`, `{,}`, `{"a":01}`, `{"a":1.}`, `{"a":1e}`,
		`{"a":+1}`, `{"a":-}`, `{"a":"\u4e2d\n\"\\\/"}`, `{"a":"\ud800"}`, `{"a":"\x"}`, `{"a":"` + "\n" + `"}`, `{"a":"\`, `{"a":tru}`, `{"a":nullx}`,
		`{"a":1,"\u0061":2}`, `[]`, `1`, `"x"`, `null`, ``, `{"a":1}{}`, `{"a":1}` + "\x00", "{\"\xff\":1}", `{"a":"支付"}`, `{"":""}`, `[1,]`, `{"a":[1 2]}`,
		strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), strings.Repeat(`{"a":`, 18) + "1" + strings.Repeat("}", 18),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Parse(raw)
		want, wantErr := parseSlowly(raw)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, encoding/json: %v", raw, err, wantErr)
		}
		if err == nil && !got.equal(want) {
			t.Errorf("%q: read %v, encoding/json: %v", raw, got, want)
		}
	})
}

func (o Object) equal(other map[string]any) bool {
	if len(o) != len(other) {
		return false
	}
	for _, field := range o {
		if content, found := other[field.Name]; !found || !field.Value.equal(content) {
			return false
		}
	}
	return true
}

// isWritten says whether Raw is the other value and no more.
func (v Value) isWritten(other any) bool {
	decoder := json.NewDecoder(strings.NewReader(v.Raw))
	decoder.UseNumber()
	var written any
	err := decoder.Decode(&written)
	return err == nil && reflect.DeepEqual(written, other) && int(decoder.InputOffset()) == len(v.Raw) && strings.Trim(v.Raw, " \t\r\n") == v.Raw
}

func (v Value) equal(other any) bool {
	if !v.isWritten(other) {
		return false
	}
	switch other := other.(type) {
	case string:
		return v.Kind == Text && v.Text == other
	case json.Number:
		return v.Kind == Number && v.Text == string(other)
	case bool:
		return v.Kind == Boolean && v.Text == strconv.FormatBool(other)
	case nil:
		return v.Kind == Null
	case map[string]any:
		return v.Kind == Fields && v.Fields.equal(other)
	case []any:
		if v.Kind != List || len(v.Items) != len(other) {
			return false
		}
		for i, item := range v.Items {
			if !item.equal(other[i]) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

func parseSlowly(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, errors.New("not JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	top, err := valueSlowly(decoder, 0)
	if o, ok := top.(map[string]any); ok && err == nil {
		return o, nil
	}
	return nil, errors.Join(errors.New("no object, or a field twice"), err)
}

func valueSlowly(decoder *json.Decoder, depth int) (any, error) {
	if depth > depthMax {
		return nil, errors.New("too deep")
	}
	token, err := decoder.Token()
	switch {
	case err != nil:
		return nil, err
	case token == json.Delim('['):
		items := []any{}
		for decoder.More() {
			item, err := valueSlowly(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err := decoder.Token()
		return items, err
	case token == json.Delim('{'):
		o := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			if _, twice := o[name.(string)]; twice || len(o) == fieldsMax {
				return nil, errors.New("twice, or too many")
			}
			if o[name.(string)], err = valueSlowly(decoder, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := decoder.Token()
		return o, err
	default:
		return token, nil
	}
}
