package webhook

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestPausesGrowToTenTriesOverThreeDays(t *testing.T) {
	t.Parallel()
	var sum, last time.Duration
	for n := 1; n <= 9; n++ {
		pause, again := pauseAfter(n)
		if !again || pause < last || pause < pauses[n-1] || pause > pauses[n-1]*11/10 {
			t.Errorf("after try %d: %s, %v; want %s and up to a tenth more", n, pause, again, pauses[n-1])
		}
		last = pauses[n-1]
		sum += pause
	}
	if sum < 3*24*time.Hour || sum > 84*time.Hour {
		t.Errorf("ten tries take %s, want three days and up to half a day", sum)
	}
	for _, n := range []int{-1, 0, 10, 11, 1000} {
		if pause, again := pauseAfter(n); again {
			t.Errorf("after try %d there is another in %s", n, pause)
		}
	}
}

// Many failures of one moment come back spread.
func TestPausesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		pause, _ := pauseAfter(9)
		seen[pause] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d different pauses of 100", len(seen))
	}
}

func TestRetryAfterIsSecondsOrADateAndBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		text   string
		want   time.Duration
	}{
		{429, "120", 2 * time.Minute},
		{503, "0", 0},
		{503, "-5", 0},
		{503, "99999999999", 24 * time.Hour},
		{503, "999999999999999999999999", 0}, // no number
		{429, noon.Add(time.Hour).Format(http.TimeFormat), time.Hour},
		{429, noon.Add(-time.Hour).Format(http.TimeFormat), 0},
		{429, "Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour},
		{429, "soon", 0},
		{429, "", 0},
		{500, "120", 0},
		{200, "120", 0},
	} {
		if got := retryAfter(&http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {c.text}}}, noon); got != c.want {
			t.Errorf("%d with %q: %s, want %s", c.status, c.text, got, c.want)
		}
	}
}

func FuzzRetryAfterIsBetweenNothingAndADay(f *testing.F) {
	for _, seed := range []string{"1", "-1", "1e9", "Mon, 02 Mar 2026 05:00:00 GMT", "\x00", strconv.Itoa(1 << 62)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := retryAfter(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {text}}}, noon)
		if got < 0 || got > retryAfterMax {
			t.Errorf("%q: %s", text, got)
		}
	})
}
