package ecny

import (
	"errors"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
)

// Reply implements channel.Port. The bank reads returnCode and respCode and verifies the signature: SUCCESS in both ends the
// deliveries, anything else brings another one. A reply to a problem has the word in neither.
func (c *Channel) Reply(problem error, _ time.Time) channel.Reply {
	status, code, message := http.StatusOK, success, ""
	switch {
	case problem == nil:
	case errors.Is(problem, channel.ErrNotGenuine), errors.Is(problem, channel.ErrProbe):
		status, code, message = http.StatusUnauthorized, fail, "signature refused"
	case errors.Is(problem, channel.ErrStale):
		status, code, message = http.StatusUnauthorized, fail, "time refused"
	case errors.Is(problem, channel.ErrMalformed):
		status, code, message = http.StatusBadRequest, fail, "notice cannot be read"
	case errors.Is(problem, channel.ErrNotOurs):
		status, code, message = http.StatusForbidden, fail, "notice is for another merchant"
	default:
		status, code, message = http.StatusServiceUnavailable, fail, "try again later"
	}
	answer := envelope{fieldReturnCode: code, fieldRespCode: code}
	if message != "" {
		answer[fieldRespMsg] = message
	}
	body, err := answer.seal(c.merchantKey)
	if err != nil { // no randomness: an answer without a signature is none, and the notice comes again
		return channel.Reply{Status: http.StatusInternalServerError}
	}
	return channel.Reply{Status: status, ContentType: "application/json", Body: body}
}
