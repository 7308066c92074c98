package wechat

import (
	"fmt"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel/strictjson"
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
func (r *reading) text(o strictjson.Object, name string) string {
	found := o.Get(name)
	if found.Kind != strictjson.Text || found.Text == "" {
		r.refuse(name, "is missing or not text")
		return ""
	}
	return found.Text
}

// idBytesMax is the longest id: an out_refund_no. Transaction ids and out_trade_no have up to 32 characters.
const idBytesMax = 64

// id is a required string of printable ASCII.
func (r *reading) id(o strictjson.Object, name string) string {
	id := r.text(o, name)
	if len(id) > idBytesMax || !printable(id) {
		r.refuse(name, "is not an id")
	}
	return id
}

// optionalText is "" when the field is absent or null.
func (r *reading) optionalText(o strictjson.Object, name string) string {
	found := o.Get(name)
	switch found.Kind {
	case strictjson.Text:
		return found.Text
	case strictjson.Absent, strictjson.Null:
	default:
		r.refuse(name, "is not text")
	}
	return ""
}

// object is a required object.
func (r *reading) object(o strictjson.Object, name string) strictjson.Object {
	found := o.Get(name)
	if found.Kind != strictjson.Fields {
		r.refuse(name, "is missing or not an object")
	}
	return found.Fields
}

// fen is a required amount: a positive whole number of fen within money.MaxFen (W3).
func (r *reading) fen(o strictjson.Object, name string) money.Amount {
	found := o.Get(name)
	fen, err := strconv.ParseUint(found.Text, 10, 63) // no sign, point or exponent; JSON has no leading zeros
	if found.Kind != strictjson.Number || err != nil || fen == 0 || fen > uint64(money.MaxFen) {
		r.refuse(name, "is not a positive whole number of fen")
		return money.Amount{}
	}
	return money.FromFen(int64(fen))
}

// yuanOnly refuses an amount in another currency. Amounts of refund notices name none; domestic merchants have no other.
func (r *reading) yuanOnly(amount strictjson.Object, required bool) {
	currency := amount.Get("currency")
	if (required || currency.Kind != strictjson.Absent) && (currency.Kind != strictjson.Text || currency.Text != "CNY") {
		r.refuse("currency", "is not CNY")
	}
}

// time is a required time of RFC 3339, between 2000 and 2099 as all times of requests. It is returned in UTC (W6).
func (r *reading) time(o strictjson.Object, name string) time.Time {
	at, err := time.Parse(time.RFC3339, r.text(o, name))
	at = at.UTC()
	if err != nil || at.Year() < 2000 || at.Year() > 2099 {
		r.refuse(name, "is not a time of RFC 3339 between 2000 and 2099")
	}
	return at
}
