package access

import (
	"sync"
	"time"
)

// allowance is what one key may ask: a bucket of items that fills at a steady rate. It may be used by many goroutines at once. All
// of it is counted in whole nanoseconds, so that who waits for as long as it was told is let through.
type allowance struct {
	perItem time.Duration // what one item takes to come back
	all     time.Duration // what a full bucket takes to come back

	mu     sync.Mutex
	fullAt time.Time // when the bucket is full again, if nothing more is taken
}

func newAllowance(itemsPerSecond float64, burst int) *allowance {
	perItem := max(time.Duration(float64(time.Second)/itemsPerSecond), 1)
	return &allowance{perItem: perItem, all: perItem * time.Duration(burst)}
}

// take takes items out, or says how long it will be until they can be taken. A call with more items than the bucket holds waits for
// a full bucket and leaves a debt behind: large calls are as welcome as small ones, and the rate holds over both.
func (a *allowance) take(now time.Time, items int) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := max(a.fullAt.Sub(now), 0)
	cost := a.perItem * time.Duration(items)
	if lacking := taken + min(cost, a.all) - a.all; lacking > 0 {
		return lacking
	}
	a.fullAt = now.Add(taken + cost)
	return 0
}
