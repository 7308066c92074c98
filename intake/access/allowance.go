package access

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// allowance is what one key may ask: a bucket of items that fills at a steady rate. It may be used by many goroutines at once.
type allowance struct {
	mu     sync.Mutex
	bucket *rate.Limiter
}

func newAllowance(itemsPerSecond float64, burst int) *allowance {
	return &allowance{bucket: rate.NewLimiter(rate.Limit(itemsPerSecond), burst)}
}

// take takes items out, or says how long it will be until they can be taken. A call with more items than the bucket holds waits for
// a full bucket and leaves a debt behind: large calls are as welcome as small ones, and the rate holds over both.
func (a *allowance) take(now time.Time, items int) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	needed := float64(min(items, a.bucket.Burst()))
	if lacking := needed - a.bucket.TokensAt(now); lacking > 0 {
		return max(time.Duration(lacking/float64(a.bucket.Limit())*float64(time.Second)), 1)
	}
	for items > 0 {
		part := min(items, a.bucket.Burst())
		a.bucket.ReserveN(now, part)
		items -= part
	}
	return 0
}
