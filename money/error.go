package money

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// valueLenMax is how many characters of a refused value an Error repeats: enough
// to recognize it, too few to flood a log.
const valueLenMax = 40

// Error says why a text is not an amount or a rate. The caller adds which field
// it came from.
type Error struct {
	// Value is the refused text: at most 40 characters, the last of them "…" when it
	// was longer, with control characters and invalid UTF-8 escaped as in Go source.
	Value string
	// Problem is a phrase that follows the value: "is negative".
	Problem string
	// Allowed describes what would have been taken.
	Allowed string
}

// Error returns one sentence of value, problem and what is allowed.
func (e *Error) Error() string {
	return fmt.Sprintf(`"%s" %s; allowed is %s`, e.Value, e.Problem, e.Allowed)
}

func newError(value, problem, allowed string) *Error {
	return &Error{Value: printable(value), Problem: problem, Allowed: allowed}
}

// printable escapes what a terminal or a log could misread, and cuts the result
// at valueLenMax characters without splitting an escape. It looks at no more of
// s than it keeps, so a value of megabytes costs nothing.
func printable(s string) string {
	var out strings.Builder
	kept, beforeEllipsis := 0, 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		unit := strconv.Quote(s[:size])
		unit = unit[1 : len(unit)-1]
		if r == '"' {
			unit = `"` // quoted for Go source, but readable as it is
		}
		kept += utf8.RuneCountInString(unit)
		if kept > valueLenMax {
			return out.String()[:beforeEllipsis] + "…"
		}
		out.WriteString(unit)
		if kept < valueLenMax {
			beforeEllipsis = out.Len()
		}
		s = s[size:]
	}
	return out.String()
}
