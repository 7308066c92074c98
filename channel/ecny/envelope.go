package ecny

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
)

// The fields around the content, and the values of those that have one only.
const (
	fieldContent    = "biz_content"
	fieldVersion    = "version"
	fieldEncoding   = "encoding"
	fieldSignMethod = "signMethod"
	fieldSign       = "sign"
	fieldReturnCode = "returnCode" // whether the message was understood
	fieldRespCode   = "respCode"   // whether it was done
	fieldErrCode    = "errCode"
	fieldRespMsg    = "respMsg"

	version       = "0.0.1"
	encoding      = "UTF-8"
	signMethodSM2 = "02"

	success = "SUCCESS"
	fail    = "FAIL"
)

// fieldsMax bounds the fields of an envelope. An answer that refuses has nine.
const fieldsMax = 32

// envelope is a message of either side: its fields by name, of which one, biz_content, is JSON and says what it is about.
type envelope map[string]string

// parseForm reads the body of a notice. Its errors quote nothing of it.
func parseForm(body []byte) (envelope, error) {
	if bytes.Count(body, []byte("&")) >= fieldsMax {
		return nil, errors.New("has too many fields")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("is not a form")
	}
	e := envelope{}
	for name, values := range form {
		if len(values) != 1 {
			return nil, errors.New("has a field twice")
		}
		e[name] = values[0]
	}
	return e, e.checkFields()
}

// parseAnswer reads the body of an answer. Its errors quote nothing of it.
func parseAnswer(body []byte) (envelope, error) {
	fields, err := strictjson.Parse(body)
	if err != nil {
		return nil, err
	}
	if len(fields) > fieldsMax {
		return nil, errors.New("has too many fields")
	}
	e := envelope{}
	for _, field := range fields {
		if field.Value.Kind != strictjson.Text {
			return nil, errors.New("has a field that is not text")
		}
		e[field.Name] = field.Value.Text
	}
	return e, e.checkFields()
}

// checkFields refuses fields of which the signed text could be read in another way (E2): names end where a = is, and values, but for
// the content, where an & is. The content is JSON, of which no beginning is JSON too.
func (e envelope) checkFields() error {
	for name, value := range e {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			return errors.New("has a name of other characters than A-Z a-z 0-9 _")
		}
		if name != fieldContent && strings.Contains(value, "&") {
			return errors.New("has an & in a field")
		}
	}
	return nil
}

// isAnswer says whether the envelope has what only that of an answer has (E9).
func (e envelope) isAnswer() bool {
	for _, name := range []string{fieldReturnCode, fieldRespCode, fieldErrCode, fieldRespMsg} {
		if _, found := e[name]; found {
			return true
		}
	}
	return false
}

// signedText is what a signature is over: name=value of all fields but the signature's, sorted by name, joined by &.
func (e envelope) signedText() []byte {
	var text []byte
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if name == fieldSign {
			continue
		}
		if len(text) > 0 {
			text = append(text, '&')
		}
		text = append(append(append(text, name...), '='), e[name]...)
	}
	return text
}

// verify checks the signature. It returns channel.ErrNotGenuine or, of a genuine message of another version, ErrMalformed, wrapped.
func (e envelope) verify(keys bankKeys) error {
	if e[fieldSign] == "" {
		return fmt.Errorf("%w: has no signature", channel.ErrNotGenuine)
	}
	if e[fieldSignMethod] != signMethodSM2 {
		return fmt.Errorf("%w: signMethod is not %s", channel.ErrNotGenuine, signMethodSM2)
	}
	if err := keys.verify(e.signedText(), e[fieldSign]); err != nil {
		return err
	}
	if e[fieldVersion] != version || e[fieldEncoding] != encoding {
		return fmt.Errorf("%w: version or encoding is not %s, %s", channel.ErrMalformed, version, encoding)
	}
	return nil
}

// seal adds the fields that every message has, signs, and words the message as JSON.
func (e envelope) seal(key *sm2.PrivateKey) ([]byte, error) {
	e[fieldVersion], e[fieldEncoding], e[fieldSignMethod] = version, encoding, signMethodSM2
	signature, err := sign(key, e.signedText())
	if err != nil {
		return nil, err
	}
	e[fieldSign] = signature
	return json.Marshal(map[string]string(e))
}
