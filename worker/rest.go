package worker

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// rest says when something that is down may be tried again: later each time it fails, at once after it succeeded. It may be used by
// many goroutines at once.
type rest struct {
	clock    clock.Clock
	after    int // so many failures in a row before it rests
	shortest time.Duration
	longest  time.Duration

	mu       sync.Mutex
	failures int
	delay    time.Duration
	until    time.Time
}

// left is how long nobody should try.
func (r *rest) left() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.until.Sub(r.clock.Now()))
}

// failed notes a failure. What was tried together and fails together counts once towards a longer rest.
func (r *rest) failed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	if r.failures++; r.failures < r.after || now.Before(r.until) {
		return
	}
	r.delay = min(max(2*r.delay, r.shortest), r.longest)
	r.until = now.Add(r.delay/2 + rand.N(r.delay/2))
}

// succeeded ends the rest.
func (r *rest) succeeded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures, r.delay, r.until = 0, 0, time.Time{}
}
