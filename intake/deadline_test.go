package intake

import (
	"testing"
	"testing/synctest"

	"github.com/settled-dev/settled/internal/clock"
)

func TestCallsThatBeginTogetherShareADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d deadlines
		begun := clock.System.Now()
		first := d.after(t.Context(), begun)
		last := begun.Add(deadlineShare - 1)
		if d.after(t.Context(), last) != first {
			t.Error("a call that began within the share has a deadline of its own")
		}
		if ends, _ := first.Deadline(); ends.Sub(last) < answerTimeout {
			t.Errorf("the last to share has %s, want at least %s", ends.Sub(last), answerTimeout)
		}
		later := d.after(t.Context(), begun.Add(deadlineShare))
		if later == first {
			t.Error("a later call shares the deadline")
		}
		<-later.Done() // the bubble's time runs ahead
		if again := d.after(t.Context(), begun); again.Err() != nil {
			t.Error("a clock that stands still was given a context that has ended")
		}
	})
}
