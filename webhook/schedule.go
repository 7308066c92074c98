package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// pauses are those that Standard Webhooks recommends: ten tries within three days and a half.
var pauses = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
	14 * time.Hour, 20 * time.Hour, 24 * time.Hour}

// retryAfterMax bounds what an endpoint may ask for.
const retryAfterMax = 24 * time.Hour

// pauseAfter is the pause after the n-th attempt has failed, n from 1, with up to a tenth more so that failures do not come back
// together; false when it was the last.
func pauseAfter(n int) (time.Duration, bool) {
	if n < 1 || n > len(pauses) {
		return 0, false
	}
	pause := pauses[n-1]
	return pause + rand.N(pause/10), true
}

// retryAfter reads the header of 429 and 503: seconds, or a date. 0 when there is none that can be read.
func retryAfter(answer *http.Response, now time.Time) time.Duration {
	if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := answer.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(retryAfterMax/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), retryAfterMax)
}
