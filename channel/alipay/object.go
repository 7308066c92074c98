package alipay

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// object is a JSON object: its fields as they were written, to the byte, because signatures are over that.
type object map[string]json.RawMessage

var errNotObject = errors.New("is not a JSON object in UTF-8")

// parseObject reads text that is one JSON object with each name once, and nothing after it. What is inside its fields is not looked
// at but for being JSON. Its errors quote nothing of the text.
func parseObject(raw []byte) (object, error) {
	if !utf8.Valid(raw) {
		return nil, errNotObject
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errNotObject
	}
	o := object{}
	for decoder.More() {
		token, err := decoder.Token()
		name, isName := token.(string)
		var value json.RawMessage
		if err != nil || !isName || decoder.Decode(&value) != nil {
			return nil, errNotObject
		}
		if _, twice := o[name]; twice {
			return nil, errors.New("has a field twice")
		}
		o[name] = value
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, errNotObject
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errNotObject
	}
	return o, nil
}
