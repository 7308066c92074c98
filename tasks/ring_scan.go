package tasks

import (
	"bytes"
	"strconv"

	"github.com/google/uuid"
)

// scanRing reads exactly what Ring.Task writes, and says false to every other text: that is json's to judge. encoding/json costs
// 18 µs a ring, as much as a request's share of its batch in PostgreSQL.
func scanRing(payload []byte) (ringWire, bool) {
	wire := ringWire{Version: ringVersion}
	rest, ok := bytes.CutPrefix(payload, []byte(`{"v":1,"book":`))
	if !ok {
		return wire, false
	}
	book, rest, ok := bytes.Cut(rest, []byte(`,"ids":[`))
	if !ok || len(book) == 0 || len(book) > 4 || book[0] < '0' || book[0] > '9' || len(book) > 1 && book[0] == '0' {
		return wire, false
	}
	var err error
	if wire.Book, err = strconv.Atoi(string(book)); err != nil {
		return wire, false
	}
	if wire.IDs, rest, ok = scanIDs(rest); !ok {
		return wire, false
	}
	switch string(rest) {
	case `}`:
	case `,"again":true}`:
		wire.Again = true
	default:
		return wire, false
	}
	return wire, true
}

// scanIDs reads `"id","id"]` and returns what follows it.
func scanIDs(text []byte) (ids []uuid.UUID, rest []byte, ok bool) {
	const quoted = 38 // an id and its quotes
	ids = make([]uuid.UUID, 0, min(len(text)/quoted, RingIDsMax))
	for len(text) > quoted && text[0] == '"' && text[quoted-1] == '"' {
		id, err := uuid.ParseBytes(text[1 : quoted-1])
		if err != nil {
			return nil, nil, false
		}
		ids = append(ids, id)
		after := text[quoted]
		text = text[quoted+1:]
		switch after {
		case ',':
		case ']':
			return ids, text, true
		default:
			return nil, nil, false
		}
	}
	return nil, nil, false
}
