package ecny

import (
	"fmt"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
)

// Limits of fields.
const (
	idBytesMax  = 64 // the longest documented id, thirdOrderId; ours have 32
	fenDigitMax = 13
)

// reading takes fields out of a content and keeps the first problem, so that callers read a whole message and check once. All fields of
// a content are text.
type reading struct {
	content strictjson.Object
	err     error
}

func (r *reading) refuse(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, problem)
	}
}

// optional is "" when the field is not there, null or empty.
func (r *reading) optional(name string) string {
	found := r.content.Get(name)
	switch found.Kind {
	case strictjson.Absent, strictjson.Null, strictjson.Text:
		return found.Text
	default:
		r.refuse(name, "is not text")
		return ""
	}
}

// id is a required number or name of printable ASCII.
func (r *reading) id(name string) string {
	id := r.optional(name)
	if id == "" || len(id) > idBytesMax || !printable(id) {
		r.refuse(name, "is missing or not an id")
	}
	return id
}

// same requires the field to be what we have asked about, or, when it need not be there, not to be another.
func (r *reading) same(name, want string, required bool) {
	if found := r.optional(name); found != want && (required || found != "") {
		r.refuse(name, "is missing or another's")
	}
}

// fen is a required amount: a positive whole number of fen within money.MaxFen, of digits alone (E4).
func (r *reading) fen(name string) money.Amount {
	digits := r.optional(name)
	fen, err := strconv.ParseUint(digits, 10, 63) // takes no sign, point or exponent
	if err != nil || digits[0] == '0' || len(digits) > fenDigitMax || fen > uint64(money.MaxFen) {
		r.refuse(name, "is not a positive whole number of fen")
		return money.Amount{}
	}
	return money.FromFen(int64(fen))
}

// yuanOnly refuses an amount in another currency. 156 is CNY in ISO 4217.
func (r *reading) yuanOnly(required bool) { r.same("currencyCode", "156", required) }

// time is a required time of Shanghai, yyyyMMddHHmmss, between 2000 and 2099 as all times of requests. It is returned in UTC.
func (r *reading) time(name string) time.Time { return r.parseTime(name, r.optional(name)) }

// endedAt is when the wallet's side ended what happened, in two fields that the bank may leave out: then it is not told, and the time of
// the order stands in for it.
func (r *reading) endedAt() (at time.Time, told bool) {
	orderedAt := r.time("txnTime")
	date, clockTime := r.optional("endDate"), r.optional("endTime")
	if date == "" || clockTime == "" {
		return orderedAt, false
	}
	return r.parseTime("endDate and endTime", date+clockTime), true
}

func (r *reading) parseTime(name, digits string) time.Time {
	const layout = "20060102150405"
	at, err := time.ParseInLocation(layout, digits, clock.Shanghai)
	if err != nil || len(digits) != len(layout) || at.Year() < 2000 || at.Year() > 2099 { // Parse takes fractions of a second
		r.refuse(name, "is not a time between 2000 and 2099")
		return time.Time{}
	}
	return at.UTC()
}

// refundState reads a refund's state, in a notice or in an answer, to the same value (E7).
func (r *reading) refundState(name, state string) channel.RefundAnswer {
	switch state {
	case "S":
		return channel.RefundAnswer{State: channel.RefundSucceeded}
	case "P":
		return channel.RefundAnswer{State: channel.RefundProcessing}
	case "F":
		return channel.RefundAnswer{State: channel.RefundFailed, Reason: state}
	default:
		r.refuse(name, "is unknown")
		return channel.RefundAnswer{}
	}
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
