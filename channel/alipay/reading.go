package alipay

import (
	"fmt"
	"time"

	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
)

// fields are those of a form or of a JSON object.
type fields interface {
	// text is the content of a field; "" when it is not there, and false when it is something else than text.
	text(name string) (string, bool)
}

func (f form) text(name string) (string, bool) { return f.get(name), true }

// object is a JSON object of an answer.
type object strictjson.Object

func (o object) text(name string) (string, bool) {
	found := strictjson.Object(o).Get(name)
	return found.Text, found.Kind == strictjson.Text || found.Kind == strictjson.Absent
}

// reading takes fields and keeps the first problem, so that callers read a whole message and check once.
type reading struct {
	from fields
	err  error
}

func (r *reading) refuse(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, problem)
	}
}

// optional is "" when the field is not there or empty.
func (r *reading) optional(name string) string {
	text, ok := r.from.text(name)
	if !ok {
		r.refuse(name, "is not text")
		return ""
	}
	return text
}

// idBytesMax is the longest id of a trade or a refund; notice ids have up to 128 characters.
const (
	idBytesMax       = 64
	noticeIDBytesMax = 128
)

// id is a required text of printable ASCII without spaces.
func (r *reading) id(name string, bytesMax int) string {
	id := r.optional(name)
	if id == "" || !printable(id, bytesMax) {
		r.refuse(name, "is missing or not an id")
		return ""
	}
	return id
}

func printable(s string, bytesMax int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= bytesMax
}

// yuan is a required positive amount (A5).
func (r *reading) yuan(name string) money.Amount {
	text := r.optional(name)
	amount, err := money.ParsePositive(text)
	if err != nil || amount.String() != text { // String is the one form that is taken
		r.refuse(name, `is not a positive amount in yuan with two places`)
		return money.Amount{}
	}
	return amount
}

// The form of times, which are Shanghai's.
const (
	timeForm   = "2006-01-02 15:04:05"
	millisForm = timeForm + ".000" // gmt_refund
)

// time is a required time, between 2000 and 2099 as all times of requests. It is returned in UTC.
func (r *reading) time(name string) time.Time {
	text := r.optional(name)
	at, err := time.ParseInLocation(timeForm, text, clock.Shanghai) // takes parts of a second too, and an hour of one digit
	if err != nil || at.Year() < 2000 || at.Year() > 2099 || at.Format(timeForm) != text && at.Format(millisForm) != text {
		r.refuse(name, "is not a time such as 2006-01-02 15:04:05 between 2000 and 2099")
		return time.Time{}
	}
	return at.UTC()
}
