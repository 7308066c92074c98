package worker

import (
	"testing"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestParkedRequestsAreBuriedInTheEnd(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.startWorker(t, nil)
	s.accept(t, &tasks.Refund{RefundID: "f1", OrderID: "none", UserID: "u1", Amount: money.FromFen(100), OccurredAt: noon})
	eventually(t, "it is parked", func() bool { return s.count(t, "SELECT count(*) FROM pending WHERE state = 'parked'") == 1 })
	if _, err := s.db.Owner.Exec(t.Context(), "UPDATE pending SET accepted_at = accepted_at - interval '73 hours'"); err != nil {
		t.Fatal(err)
	}
	w.relay.nextBury = time.Time{}
	w.relay.buryUnwoken(t.Context())
	if got := s.count(t, "SELECT count(*) FROM pending WHERE state = 'dead'"); got != 1 {
		t.Errorf("%d requests are dead, want the parked one", got)
	}
}
