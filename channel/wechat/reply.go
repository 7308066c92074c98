package wechat

import (
	"errors"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
)

// Reply implements channel.Port. WeChat Pay reads the status alone: 204 ends the deliveries, 4xx and 5xx bring another one.
func (c *Channel) Reply(problem error, _ time.Time) channel.Reply {
	status, message := http.StatusServiceUnavailable, "try again later"
	switch {
	case problem == nil:
		return channel.Reply{Status: http.StatusNoContent}
	case errors.Is(problem, channel.ErrNotGenuine), errors.Is(problem, channel.ErrProbe):
		status, message = http.StatusUnauthorized, "signature refused"
	case errors.Is(problem, channel.ErrStale):
		status, message = http.StatusUnauthorized, "timestamp refused"
	case errors.Is(problem, channel.ErrMalformed):
		status, message = http.StatusBadRequest, "notice cannot be read"
	case errors.Is(problem, channel.ErrNotOurs):
		status, message = http.StatusForbidden, "notice is for another merchant"
	}
	return channel.Reply{Status: status, ContentType: "application/json", Body: []byte(`{"code":"FAIL","message":"` + message + `"}`)}
}
