package alipay

import (
	"errors"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
)

// Reply implements channel.Port. Alipay reads the body: success and nothing else ends the deliveries.
func (c *Channel) Reply(problem error, _ time.Time) channel.Reply {
	status, body := http.StatusServiceUnavailable, "fail"
	switch {
	case problem == nil:
		status, body = http.StatusOK, "success"
	case errors.Is(problem, channel.ErrNotGenuine), errors.Is(problem, channel.ErrProbe), errors.Is(problem, channel.ErrStale):
		status = http.StatusUnauthorized
	case errors.Is(problem, channel.ErrMalformed):
		status = http.StatusBadRequest
	case errors.Is(problem, channel.ErrNotOurs):
		status = http.StatusForbidden
	}
	return channel.Reply{Status: status, ContentType: "text/plain", Body: []byte(body)}
}
