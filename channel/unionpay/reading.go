package unionpay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
)

// timeLayout is a time of Shanghai in whole seconds.
const timeLayout = "20060102150405"

// reading takes values out of fields and keeps the first problem, so that callers read a whole message and check once.
type reading struct {
	fields fields
	err    error
}

func (r *reading) refuse(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, problem)
	}
}

// idBytesMax is longer than any id: an orderId has up to 40 characters, a queryId 21.
const idBytesMax = 64

// id is a required text of letters and digits.
func (r *reading) id(name string) string {
	id := r.fields.get(name)
	if id == "" || len(id) > idBytesMax || !isAlphanumeric(id) {
		r.refuse(name, "is missing or not of letters and digits")
	}
	return id
}

// optionalID is "" when the field is not there, or empty.
func (r *reading) optionalID(name string) string {
	if r.fields.get(name) == "" {
		return ""
	}
	return r.id(name)
}

// fen is a required amount: a positive whole number of fen within money.MaxFen (U3).
func (r *reading) fen(name string) money.Amount {
	fen, err := strconv.ParseUint(r.fields.get(name), 10, 63) // digits alone: no sign, point or exponent
	if err != nil || fen == 0 || fen > uint64(money.MaxFen) {
		r.refuse(name, "is not a positive whole number of fen")
		return money.Amount{}
	}
	return money.FromFen(int64(fen))
}

// time is a required time, between 2000 and 2099 as all times of requests. It is returned in UTC.
func (r *reading) time(name string) time.Time {
	text := r.fields.get(name)
	at, err := time.ParseInLocation(timeLayout, text, clock.Shanghai)
	if err != nil || len(text) != len(timeLayout) || at.Year() < 2000 || at.Year() > 2099 {
		r.refuse(name, "is not a time of 14 digits between 2000 and 2099")
	}
	return at.UTC()
}

// passedOnAt is when UnionPay passed the payment on to the bank, which is when the payer paid: traceTime, MMDDhhmmss of Shanghai. It has
// no year: the one that brings it nearest to when the merchant sent the order.
func (r *reading) passedOnAt(orderedAt time.Time) time.Time {
	var nearest time.Time
	year := orderedAt.In(clock.Shanghai).Year()
	for y := year - 1; y <= year+1; y++ {
		at, err := time.ParseInLocation(timeLayout, strconv.Itoa(y)+r.fields.get("traceTime"), clock.Shanghai)
		if err == nil && (nearest.IsZero() || at.Sub(orderedAt).Abs() < nearest.Sub(orderedAt).Abs()) {
			nearest = at
		}
	}
	if nearest.IsZero() || len(r.fields.get("traceTime")) != len("0102150405") {
		r.refuse("traceTime", "is not a time of 10 digits")
	}
	return nearest.UTC()
}

func isAlphanumeric(text string) bool {
	return strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
