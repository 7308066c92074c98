package money

import (
	"bytes"
	"encoding/json"
)

const allowedJSON = `a JSON string in yuan with at most two places, such as "12.30"`

// AppendText appends the form of [Amount.String] to b. It never fails.
func (a Amount) AppendText(b []byte) ([]byte, error) { return a.append(b), nil }

// MarshalText returns the form of [Amount.String]. It never fails.
func (a Amount) MarshalText() ([]byte, error) {
	return a.append(make([]byte, 0, maxTextLen)), nil
}

// UnmarshalText reads what [Parse] reads, and refuses what it refuses. The amount
// is left as it was on refusal.
func (a *Amount) UnmarshalText(text []byte) error {
	fen, ok := parseFen(text)
	if !ok {
		return refuse(string(text), allowedAmount)
	}
	a.fen = fen
	return nil
}

// MarshalJSON writes the amount as a JSON string, "12.30": a number would lose its
// places, and pass through floating point in many readers. It never fails.
func (a Amount) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, maxTextLen), '"')
	return append(a.append(b), '"'), nil
}

// UnmarshalJSON reads a JSON string that [Parse] takes. Numbers, null and every
// other kind of value are refused with an [*Error]; the amount is left as it was.
func (a *Amount) UnmarshalJSON(data []byte) error {
	if len(data) < 2 || data[0] != '"' {
		return newError(string(data), "is "+jsonKind(data), allowedJSON)
	}
	text := data[1 : len(data)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return a.UnmarshalText(text)
	}
	var unescaped string
	if err := json.Unmarshal(data, &unescaped); err != nil {
		return newError(string(data), "is not valid JSON", allowedJSON)
	}
	return a.UnmarshalText([]byte(unescaped))
}

// jsonKind names a JSON value that is not a string, by its first byte.
func jsonKind(data []byte) string {
	if len(data) == 0 {
		return "empty"
	}
	switch data[0] {
	case '{':
		return "a JSON object"
	case '[':
		return "a JSON array"
	case 't', 'f':
		return "a JSON boolean"
	case 'n':
		return "JSON null"
	}
	return "a JSON number"
}
