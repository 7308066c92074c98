package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/settled-dev/settled/money"
)

// object is a JSON object: strings, json.Numbers, bools, nils, []any and objects by name.
type object map[string]any

// depthMax bounds nesting. The deepest message has goods in a list in a promotion in a list.
const depthMax = 16

// parseObject reads text that is one JSON object, strictly (W4). Its errors quote nothing of the text.
func parseObject(text []byte) (object, error) {
	// Valid refuses what follows the object, too; without it the decoder's tokens would have to be checked for that.
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errors.New("is not JSON in UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := parseValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if o, ok := value.(object); ok {
		return o, nil
	}
	return nil, errors.New("is not a JSON object")
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delimiter, nested := token.(json.Delim)
	if !nested {
		return token, nil
	}
	if depth == depthMax {
		return nil, errors.New("is nested too deep")
	}
	var value any
	if delimiter == '[' {
		list := []any{}
		for decoder.More() {
			item, err := parseValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		value = list
	} else {
		fields := object{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			field := name.(string) //nolint:forcetypeassert // a valid object has nothing else there
			if _, twice := fields[field]; twice {
				return nil, errors.New("has a field twice")
			}
			if fields[field], err = parseValue(decoder, depth+1); err != nil {
				return nil, err
			}
		}
		value = fields
	}
	_, err = decoder.Token() // the closing bracket
	return value, err
}

// reading takes fields out of objects and keeps the first problem, so that callers read a whole message and check once.
type reading struct{ err error }

func (r *reading) refuse(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, problem)
	}
}

// text is a required string of any content.
func (r *reading) text(o object, name string) string {
	value, ok := o[name].(string)
	if !ok || value == "" {
		r.refuse(name, "is missing or not text")
	}
	return value
}

// idBytesMax is the longest id: an out_refund_no. Transaction ids and out_trade_no have up to 32 characters.
const idBytesMax = 64

// id is a required string of printable ASCII.
func (r *reading) id(o object, name string) string {
	value := r.text(o, name)
	if len(value) > idBytesMax || !printable(value) {
		r.refuse(name, "is not an id")
	}
	return value
}

// optionalText is "" when the field is absent or null.
func (r *reading) optionalText(o object, name string) string {
	value, ok := o[name].(string)
	if !ok && o[name] != nil {
		r.refuse(name, "is not text")
	}
	return value
}

// object is a required object.
func (r *reading) object(o object, name string) object {
	value, ok := o[name].(object)
	if !ok {
		r.refuse(name, "is missing or not an object")
	}
	return value
}

// fen is a required amount: a positive whole number of fen within money.MaxFen (W3).
func (r *reading) fen(o object, name string) money.Amount {
	number, ok := o[name].(json.Number)
	fen, err := strconv.ParseUint(string(number), 10, 63) // no sign, point or exponent; JSON has no leading zeros
	if !ok || err != nil || fen == 0 || fen > uint64(money.MaxFen) {
		r.refuse(name, "is not a positive whole number of fen")
		return money.Amount{}
	}
	return money.FromFen(int64(fen))
}

// yuanOnly refuses an amount in another currency. Amounts of refund notices name none; domestic merchants have no other.
func (r *reading) yuanOnly(amount object, required bool) {
	if _, named := amount["currency"]; (named || required) && amount["currency"] != "CNY" {
		r.refuse("currency", "is not CNY")
	}
}

// time is a required time of RFC 3339, between 2000 and 2099 as all times of requests. It is returned in UTC (W6).
func (r *reading) time(o object, name string) time.Time {
	at, err := time.Parse(time.RFC3339, r.text(o, name))
	at = at.UTC()
	if err != nil || at.Year() < 2000 || at.Year() > 2099 {
		r.refuse(name, "is not a time of RFC 3339 between 2000 and 2099")
	}
	return at
}
