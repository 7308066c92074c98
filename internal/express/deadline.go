package express

import (
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// deadline is one of a connection's. To tell it to the connection costs as much as a tenth of reading a call.
type deadline struct {
	tell func(time.Time) error
	at   time.Time
}

// extend moves the deadline to timeout from now, or to never if that is 0. One that is there but for a sixteenth is left.
func (d *deadline) extend(timeout time.Duration) {
	switch left := d.at.Sub(clock.System.Now()); {
	case timeout > 0 && (left > timeout || left < timeout-timeout/16):
		d.set(timeout)
	case timeout <= 0 && !d.at.IsZero():
		d.at = time.Time{}
		_ = d.tell(d.at)
	}
}

func (d *deadline) set(timeout time.Duration) {
	d.at = clock.System.Now().Add(timeout)
	_ = d.tell(d.at) // a connection that is closed says so when it is used
}
