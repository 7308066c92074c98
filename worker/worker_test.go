package worker

import (
	"fmt"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

func TestAcceptedRequestsAreApplied(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startWorker(t, nil)
	var payloads []tasks.Payload
	for i := range 200 {
		payloads = append(payloads, recharge(fmt.Sprintf("r%d", i), fmt.Sprintf("u%d", i%20), 100))
	}
	s.accept(t, payloads...)
	for i := range 20 {
		if _, err := s.client.Enqueue(t.Context(), recharge(fmt.Sprintf("s%d", i), fmt.Sprintf("u%d", i), 100)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all applied", func() bool { return s.pending(t) == 0 })
	if got := s.count(t, "SELECT count(*) FROM outcomes WHERE result = 'applied'"); got != 220 {
		t.Errorf("%d requests were applied, want 220", got)
	}
}
