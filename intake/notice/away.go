package notice

import (
	"errors"
	"net/http"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// errAway: no channel takes it for anything but trouble here.
var errAway = errors.New("PostgreSQL has not answered since this process started")

// NewAway makes the door of a process that has not reached PostgreSQL yet, for the same pattern as a Handler: each channel is told in its
// own form to come again. Nothing of a notice is read. A channel without settings is answered as by a Handler.
func NewAway(ports Ports, c clock.Clock) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port, found := ports.Port(tasks.Source(r.PathValue("channel")))
		if !found {
			refuseChannel(w)
			return
		}
		write(w, port.Reply(errAway, c.Now()))
	})
}
