package intake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// The lengths of a page.
const (
	// PageMax is how many rows a page holds at most.
	PageMax     = 500
	pageDefault = 50
)

// PageQuery is what every list is asked with. It is exported for the reader of parameters, which passes over what is not.
type PageQuery struct {
	Limit  string `query:"limit" doc:"How many to list, 1 to 500. Defaults to 50." example:"100"`
	Cursor string `query:"cursor" doc:"The next of the page before, of the same list. It has no meaning of its own."`
}

// limit returns a *tasks.FieldError for what is no length of a page.
func (p PageQuery) limit() (int, error) {
	if p.Limit == "" {
		return pageDefault, nil
	}
	limit, err := strconv.Atoi(p.Limit)
	if err != nil || limit < 1 || limit > PageMax {
		return 0, &tasks.FieldError{Field: "limit", Problem: "is not a length of a page", Allowed: fmt.Sprintf("1 to %d", PageMax)}
	}
	return limit, nil
}

// position reads the cursor of a list into a position in it. first says that there is none: the list begins. It returns a
// *tasks.FieldError for a cursor that the list has not given.
func (p PageQuery) position(list []string, into any) (first bool, err error) {
	if p.Cursor == "" {
		return true, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil || len(raw) < cursorSumBytes || string(raw[:cursorSumBytes]) != string(cursorSum(list)) {
		return false, badCursor()
	}
	if err := json.Unmarshal(raw[cursorSumBytes:], into); err != nil {
		return false, badCursor()
	}
	return false, nil
}

// badCursor refuses a cursor that its list has not given.
func badCursor() *tasks.FieldError {
	return &tasks.FieldError{Field: "cursor", Problem: "is not of this list", Allowed: "the next of a page of the same list, or none"}
}

const cursorSumBytes = 6

// cursorSum tells lists apart, so that a cursor is not taken for another list's by mistake. It is no secret: what a position finds
// is what the list would show anyway.
func cursorSum(list []string) []byte {
	text, _ := json.Marshal(list) // strings always encode
	sum := sha256.Sum256(text)
	return sum[:cursorSumBytes]
}

// newCursor writes a position in a list.
func newCursor(list []string, position any) (string, error) {
	text, err := json.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("encode a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(append(cursorSum(list), text...)), nil
}

// nextLink is the header Link (RFC 8288) of a page that is not the last: where the next is found, relative to this one. more
// is what else the page was asked with.
func (p PageQuery) nextLink(cursor string, more url.Values) string {
	if cursor == "" {
		return ""
	}
	query := url.Values{"cursor": {cursor}}
	if p.Limit != "" {
		query.Set("limit", p.Limit)
	}
	for name, values := range more {
		if values[0] != "" {
			query[name] = values
		}
	}
	return "<?" + query.Encode() + `>; rel="next"`
}

// earliestAsked is before all books, and after the zero time, which means that no time was asked for.
var earliestAsked = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// parseTime reads a query's time: zero when it is not given. It returns a *tasks.FieldError for what is no time, or before the year 2000.
func parseTime(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	// The example has no plus sign, which stands for a space in an address.
	const allowed = "a time of RFC 3339 from the year 2000 on, such as 2026-01-02T07:04:05Z; a + in it is written as %2B"
	at, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return time.Time{}, &tasks.FieldError{Field: field, Problem: "is not a time", Allowed: allowed}
	case at.Before(earliestAsked):
		return time.Time{}, &tasks.FieldError{Field: field, Problem: "is before the year 2000", Allowed: allowed}
	}
	return at, nil
}
