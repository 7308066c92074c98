package ledger_test

import (
	"testing"
	"time"

	"github.com/settled-dev/settled/ledger/ledgertest"
)

// Whoever reads a book's outcomes in the order of their times must miss none, whatever the server's clock did.
func TestALaterBatchIsLaterThoughTheClockWentBack(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ahead := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE books SET decided_at = $1", ahead); err != nil {
		t.Fatal(err)
	}
	first := b.Do(t, ledgertest.Reward("w1", "u1", "1.00"))[0].Outcome.DecidedAt
	second := b.Do(t, ledgertest.Reward("w2", "u1", "1.00"))[0].Outcome.DecidedAt
	if want := ahead.Add(time.Microsecond); !first.Equal(want) || !second.Equal(want.Add(time.Microsecond)) {
		t.Errorf("decided at %s, then %s; want each a microsecond after the one before", first, second)
	}
}
