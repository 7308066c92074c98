package unionpay

import (
	"errors"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
)

// Reply implements channel.Port. UnionPay reads the status alone: 200 ends the deliveries, any other brings another one.
func (c *Channel) Reply(problem error, _ time.Time) channel.Reply {
	status, text := http.StatusServiceUnavailable, "try again later"
	switch {
	case problem == nil:
		status, text = http.StatusOK, "ok"
	case errors.Is(problem, channel.ErrNotGenuine), errors.Is(problem, channel.ErrProbe), errors.Is(problem, channel.ErrStale):
		status, text = http.StatusUnauthorized, "signature refused"
	case errors.Is(problem, channel.ErrMalformed):
		status, text = http.StatusBadRequest, "notice cannot be read"
	case errors.Is(problem, channel.ErrNotOurs):
		status, text = http.StatusForbidden, "notice is for another merchant"
	}
	return channel.Reply{Status: status, ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
}
