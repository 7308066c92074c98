package intake

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
)

func TestCallBeyondTheMostDoesNotWait(t *testing.T) {
	t.Parallel()
	manual := clock.NewManual(clock.System.Now())
	o := newOutcomeWatch(nil, manual) // nothing is asked while the clock stands
	o.asking = true
	gone, leave := context.WithCancel(t.Context())
	leave()
	request := ledger.RequestRef{ID: uuid.New()}
	o.count = watchersMax - 1
	if outcome, waited := o.wait(gone, request, WaitMax, nil); outcome != nil || !waited {
		t.Errorf("the last one: outcome %v, waited %t", outcome, waited)
	}
	o.count = watchersMax
	if outcome, waited := o.wait(t.Context(), request, WaitMax, nil); outcome != nil || waited {
		t.Errorf("one too many: outcome %v, waited %t", outcome, waited)
	}
	if len(o.watchers) != 0 || o.count != watchersMax {
		t.Errorf("%d requests are watched, %d counted", len(o.watchers), o.count)
	}
}
