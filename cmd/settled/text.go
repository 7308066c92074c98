package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// quoted shows a foreign value in one line, cut short.
func quoted(text string) string {
	const shown = 60
	if len(text) > shown {
		return strconv.QuoteToASCII(text[:shown]) + "…"
	}
	return strconv.QuoteToASCII(text)
}

// oneLine shows a stored text that may have line breaks in a table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// parseDate reads a Shanghai date; it returns the day's first moment.
func parseDate(text string) (time.Time, error) {
	return time.ParseInLocation(time.DateOnly, text, clock.Shanghai)
}

func trimRight(text string) string { return strings.TrimRight(text, " ") }
