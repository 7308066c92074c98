package clock

import "time"

// Clock tells the time. Implementations are safe for concurrent use.
type Clock interface {
	// Now returns the current instant.
	Now() time.Time
}

// Timer is a Clock that can also be waited on. System and Manual are Timers.
type Timer interface {
	Clock
	// After returns a channel that receives the time once, when d has passed on this clock. For d <= 0 it is ready
	// at once. A caller that stops waiting may drop the channel; nothing leaks.
	After(d time.Duration) <-chan time.Time
}

// System is the machine's clock. Its readings carry the monotonic clock, so that differences between two of them are
// right even when the wall clock is set in between.
var System Timer = system{}

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Fixed returns a clock that always reads t.
func Fixed(t time.Time) Clock { return fixed{at: t} }

type fixed struct{ at time.Time }

func (f fixed) Now() time.Time { return f.at }
