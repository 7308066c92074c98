package wechat

import (
	"fmt"
	"strconv"
	"time"

	"github.com/settled-dev/settled/money"
)

// reading takes fields out of objects and keeps the first problem, so that callers read a whole message and check once.
type reading struct{ err error }

func (r *reading) refuse(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, problem)
	}
}

// text is a required string of any content.
func (r *reading) text(o object, name string) string {
	found := o.get(name)
	if found.kind != text || found.text == "" {
		r.refuse(name, "is missing or not text")
		return ""
	}
	return found.text
}

// idBytesMax is the longest id: an out_refund_no. Transaction ids and out_trade_no have up to 32 characters.
const idBytesMax = 64

// id is a required string of printable ASCII.
func (r *reading) id(o object, name string) string {
	id := r.text(o, name)
	if len(id) > idBytesMax || !printable(id) {
		r.refuse(name, "is not an id")
	}
	return id
}

// optionalText is "" when the field is absent or null.
func (r *reading) optionalText(o object, name string) string {
	found := o.get(name)
	switch found.kind {
	case text:
		return found.text
	case absent, null:
	default:
		r.refuse(name, "is not text")
	}
	return ""
}

// object is a required object.
func (r *reading) object(o object, name string) object {
	found := o.get(name)
	if found.kind != fields {
		r.refuse(name, "is missing or not an object")
	}
	return found.fields
}

// fen is a required amount: a positive whole number of fen within money.MaxFen (W3).
func (r *reading) fen(o object, name string) money.Amount {
	found := o.get(name)
	fen, err := strconv.ParseUint(found.text, 10, 63) // no sign, point or exponent; JSON has no leading zeros
	if found.kind != number || err != nil || fen == 0 || fen > uint64(money.MaxFen) {
		r.refuse(name, "is not a positive whole number of fen")
		return money.Amount{}
	}
	return money.FromFen(int64(fen))
}

// yuanOnly refuses an amount in another currency. Amounts of refund notices name none; domestic merchants have no other.
func (r *reading) yuanOnly(amount object, required bool) {
	currency := amount.get("currency")
	if (required || currency.kind != absent) && (currency.kind != text || currency.text != "CNY") {
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
