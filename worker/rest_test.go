package worker

import (
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

func TestRestGrowsWithFailuresAndEndsWithASuccess(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(noon)
	r := &rest{clock: now, after: 3, shortest: time.Second, longest: 10 * time.Second}
	r.failed()
	r.failed()
	if left := r.left(); left != 0 {
		t.Errorf("after two failures of three it rests for %s", left)
	}
	r.failed()
	first := r.left()
	if first < time.Second/2 || first > time.Second {
		t.Errorf("the first rest is %s, want up to a second", first)
	}
	r.failed() // tried together with the one before
	if left := r.left(); left != first {
		t.Errorf("a failure of the same round changed the rest from %s to %s", first, left)
	}
	for range 10 {
		now.Advance(r.left())
		r.failed()
	}
	if left := r.left(); left < 5*time.Second || left > 10*time.Second {
		t.Errorf("after many failures it rests for %s, want 5 to 10 seconds", left)
	}
	r.succeeded()
	if left := r.left(); left != 0 {
		t.Errorf("after a success it rests for %s", left)
	}
	r.failed()
	if left := r.left(); left != 0 {
		t.Errorf("a success did not forget the failures: it rests for %s", left)
	}
}
