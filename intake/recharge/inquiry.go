package recharge

import "time"

// When a channel is asked whether an order is paid, in case no notice of its payment comes: after the order was opened, while it is open,
// and after it has expired. Payers pay within minutes. An order can be paid late, which ends in suspense, and a channel can be away for
// days.
var (
	inquiriesAfterOpening = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour}
	inquiriesAfterExpiry  = []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 72 * time.Hour}
)

// NextInquiry is the first time after a given one at which the order's channel is to be asked about it; false when there is none. What
// was missed is not caught up: one answer tells as much as several. Closing an order changes nothing: it may be paid.
func (o *Order) NextInquiry(after time.Time) (time.Time, bool) {
	for _, pause := range inquiriesAfterOpening {
		if at := o.CreatedAt.Add(pause); at.After(after) && at.Before(o.ExpiresAt) {
			return at, true
		}
	}
	for _, pause := range inquiriesAfterExpiry {
		if at := o.ExpiresAt.Add(pause); at.After(after) {
			return at, true
		}
	}
	return time.Time{}, false
}
