package intake

import (
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// aheadOf returns why a sweep of a night that has not come may not be asked for: it would move today's money, and the night's own sweep
// would then be a replay that moves nothing. It returns nil for every other payload.
func aheadOf(now time.Time, payload tasks.Payload) *tasks.FieldError {
	sweep, ok := payload.(*tasks.Sweep)
	today := clock.BusinessDate(now)
	if !ok || sweep.BusinessDate <= today { // dates of this form are ordered as their texts
		return nil
	}
	return &tasks.FieldError{Field: "business_date", Problem: "is " + sweep.BusinessDate + ", which has not come yet",
		Allowed: "a date up to today in Shanghai, " + today}
}

// RefuseAhead refuses the chunk's sweeps of nights that have not come at a time.
func (c *Chunk) RefuseAhead(now time.Time) {
	refusals := make([]*tasks.FieldError, len(c.payloads))
	any := false
	for i, payload := range c.payloads {
		refusals[i] = aheadOf(now, payload)
		any = any || refusals[i] != nil
	}
	if any {
		c.refuse(refusals)
	}
}
