package tasks

import (
	"sync/atomic"
	"time"
)

// deadlineShare is how long callers share a deadline.
const deadlineShare = 100 * time.Millisecond

// deadlines says when callers have waited long enough: between within and deadlineShare more after they began. Callers that begin together
// share one, because a context with a deadline for each costs as much as reading its request. It may be used by many goroutines at once.
type deadlines struct {
	within  time.Duration
	current atomic.Pointer[deadline]
}

type deadline struct {
	passed   chan struct{}
	sharedTo time.Time
}

// after returns what is closed when a caller that begins now has waited long enough.
func (d *deadlines) after(now time.Time) <-chan struct{} {
	if shared := d.current.Load(); shared != nil && now.Before(shared.sharedTo) && !shared.hasPassed() {
		return shared.passed
	}
	fresh := &deadline{passed: make(chan struct{}), sharedTo: now.Add(deadlineShare)}
	time.AfterFunc(d.within+deadlineShare, func() { close(fresh.passed) })
	d.current.Store(fresh)
	return fresh.passed
}

func (d *deadline) hasPassed() bool {
	select {
	case <-d.passed:
		return true
	default:
		return false
	}
}
