package tasks

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

func TestCallersThatBeginTogetherShareADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{within: time.Second}
		begun := clock.System.Now()
		first := d.after(begun)
		if d.after(begun.Add(deadlineShare-1)) != first {
			t.Error("a caller that began within the share has a deadline of its own")
		}
		later := d.after(begun.Add(deadlineShare))
		if later == first {
			t.Error("a later caller shares the deadline")
		}
		<-first // the bubble's time runs ahead
		if waited := clock.System.Now().Sub(begun); waited != d.within+deadlineShare {
			t.Errorf("the first has waited %s, so that the last to share with it has not waited %s", waited, d.within)
		}
		<-later
		select {
		case <-d.after(begun):
			t.Error("a clock that stands still was given a deadline that has passed")
		default:
		}
	})
}
