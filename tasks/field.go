package tasks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/settled-dev/settled/money"
)

// The limits of every payload.
const (
	// PayloadBytesMax bounds one request's JSON: 200 lines need about 20 kB.
	PayloadBytesMax = 64 << 10
	// IDBytesMax bounds every id; the longest that a channel issues is 64 characters.
	IDBytesMax = 64
	// LegsMax is how many funding sources an order has at most.
	LegsMax      = 8
	textBytesMax = 200
	linesMax     = 200
)

// FieldError refuses a request for one of its fields. Nothing was stored.
type FieldError struct {
	Field   string // as on the wire, e.g. legs[0].amount; "payload" when it is no field's fault
	Problem string // what is wrong with the value, e.g. `is "1e-30", which is in exponent notation`
	Allowed string // what would be accepted
}

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s %s; allowed: %s", e.Field, e.Problem, e.Allowed)
}

// fieldCheck keeps the first field that is wrong.
type fieldCheck struct{ err *FieldError }

func (c *fieldCheck) refuse(field, problem, allowed string) {
	if c.err == nil {
		c.err = &FieldError{Field: field, Problem: problem, Allowed: allowed}
	}
}

const idAllowed = "1 to 64 of the characters A-Z a-z 0-9 . _ : @ -, other than . and .. alone"

// id refuses what could not stand in an account's name, a log line or a path of the API: the slash separates the parts of account names,
// and dots alone are another place in a path (RFC 3986, 5.2.4).
func (c *fieldCheck) id(field, value string) {
	switch {
	case value == "":
		c.refuse(field, "is missing", idAllowed)
	case len(value) > IDBytesMax:
		c.refuse(field, fmt.Sprintf("has %d bytes", len(value)), idAllowed)
	case value == ".", value == "..":
		c.refuse(field, "is "+quote(value), idAllowed)
	default:
		for i := 0; i < len(value); i++ {
			if b := value[i]; !isIDByte(b) {
				c.refuse(field, fmt.Sprintf("is %s, whose byte %d is not allowed", quote(value), i+1), idAllowed)
				return
			}
		}
	}
}

func isIDByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("._:@-", b) >= 0
}

func (c *fieldCheck) optionalID(field, value string) {
	if value != "" {
		c.id(field, value)
	}
}

var textAllowed = fmt.Sprintf("up to %d bytes of UTF-8 without control characters", textBytesMax)

func (c *fieldCheck) text(field, value string, required bool) {
	switch {
	case value == "" && required:
		c.refuse(field, "is missing", "1 "+textAllowed)
	case len(value) > textBytesMax:
		c.refuse(field, fmt.Sprintf("has %d bytes", len(value)), textAllowed)
	case !utf8.ValidString(value):
		c.refuse(field, "is not valid UTF-8", textAllowed)
	case strings.ContainsFunc(value, unicode.IsControl):
		c.refuse(field, "has a control character", textAllowed)
	}
}

// CheckText refuses what people write about something when it is missing, long, or cannot be shown in one line, with a *FieldError.
func CheckText(field, value string) error {
	var check fieldCheck
	check.text(field, value, true)
	if check.err != nil {
		return check.err
	}
	return nil
}

const amountAllowed = `a positive amount of yuan as a string with at most two places, such as "12.30", up to 100000000000.00`

func (c *fieldCheck) positive(field string, amount money.Amount) {
	if !amount.IsPositive() {
		c.refuse(field, "is "+amount.String(), amountAllowed)
	}
}

func (c *fieldCheck) inRange(field string, amount money.Amount) {
	if amount.Fen() > money.MaxFen {
		c.refuse(field, "is "+amount.String()+", too large", amountAllowed)
	}
}

// oneOf refuses a value outside a closed set. An empty value that is allowed is a field left out.
func oneOf[T ~string](c *fieldCheck, field string, value T, allowed ...T) {
	if slices.Contains(allowed, value) {
		return
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = cmp.Or(string(a), "no such field")
	}
	c.refuse(field, "is "+quote(string(value)), strings.Join(names, ", "))
}

// The span of event times that can be meant: digital payments did not exist before it, and a later one is a broken clock.
var (
	earliestEvent = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	latestEvent   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

const eventTimeAllowed = "a time of RFC 3339 between 2000 and 2099, such as 2026-01-02T15:04:05+08:00"

func (c *fieldCheck) eventTime(field string, t time.Time) {
	if t.IsZero() {
		c.refuse(field, "is missing, or of the year 1", eventTimeAllowed)
	} else if t.Before(earliestEvent) || !t.Before(latestEvent) {
		c.refuse(field, "is "+t.Format(time.RFC3339), eventTimeAllowed)
	}
}

func (c *fieldCheck) date(field, value string) {
	if _, err := time.Parse(time.DateOnly, value); err != nil || value < "2000" || value >= "2100" {
		c.refuse(field, "is "+quote(value), "a date between 2000-01-01 and 2099-12-31, such as 2026-01-02")
	}
}

// fieldErrorOf turns an amount's error into the field's.
func fieldErrorOf(field string, err error) error {
	var bad *money.Error
	if errors.As(err, &bad) {
		return &FieldError{Field: field, Problem: "is " + quote(bad.Value) + ", which " + bad.Problem, Allowed: amountAllowed}
	}
	return fmt.Errorf("%s: %w", field, err)
}

// quote shows a foreign value in one line, cut short: it may be large or full of control characters.
func quote(s string) string {
	const shown = 40
	if len(s) <= shown {
		return strconv.QuoteToASCII(s)
	}
	return strconv.QuoteToASCII(s[:shown]) + "…"
}
