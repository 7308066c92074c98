package intake

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// WaitMax is the longest that a call waits for its request's outcome, whatever it prefers.
const WaitMax = 30 * time.Second

// preferWait describes the preference at an operation.
func preferWait() *huma.Param {
	return &huma.Param{Name: "Prefer", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "wait=5",
		Description: fmt.Sprintf("wait=N (RFC 7240): wait up to N seconds, at most %d, for the request's outcome. It is answered 200 with "+
			"its outcome when that comes in time, 202 without one when not. Preference-Applied tells how long would have been waited; it "+
			"is absent when too many calls wait already.", int(WaitMax.Seconds()))}
}

// preferredWait is how long a call prefers to wait for its outcome (RFC 7240): zero when it says nothing that can be read, as a
// preference may always be ignored.
func preferredWait(header http.Header) time.Duration {
	for _, value := range header["Prefer"] {
		if wait, found := parseWait(value); found {
			return wait
		}
	}
	return 0
}

// parseWait finds the preference wait in a header's value. Of several the first counts.
func parseWait(header string) (wait time.Duration, found bool) {
	for _, preference := range splitUnquoted(header, ',') {
		name, value, _ := strings.Cut(splitUnquoted(preference, ';')[0], "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		text := strings.TrimSpace(value)
		if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
			text = text[1 : len(text)-1]
		}
		seconds, err := strconv.ParseUint(text, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // what is too large is long
			return 0, true
		}
		return time.Duration(min(seconds, uint64(WaitMax/time.Second))) * time.Second, true
	}
	return 0, false
}

// splitUnquoted splits at a separator outside of quoted strings. It returns at least one part.
func splitUnquoted(text string, separator byte) []string {
	var parts []string
	quoted, begun := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == separator && !quoted:
			parts, begun = append(parts, text[begun:i]), i+1
		}
	}
	return append(parts, text[begun:])
}
