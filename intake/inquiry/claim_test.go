package inquiry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestWhatWaitsIsReadByItsIndexesAndCountedUpToABound(t *testing.T) {
	t.Parallel()
	w := open(t)
	noon := ledgertest.Noon
	if _, err := w.DB.Owner.Exec(t.Context(), `INSERT INTO recharge_inquiries (recharge_id, channel, due_at, try_at)
		SELECT 'rc' || i, CASE WHEN i <= $1 THEN 'wechat' ELSE 'alipay' END, $2::timestamptz + i * interval '1 second', $2::timestamptz + i * interval '1 hour'
		FROM generate_series(1, $1 + 2) i`, inquiry.CountMax+1, noon); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if err := w.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]map[string]float64{
		"settled_intake_waiting_inquiries":              {"wechat ": inquiry.CountMax, "alipay ": 2},
		"settled_intake_oldest_inquiry_overdue_seconds": {"wechat ": 59},
	} {
		if diff := cmp.Diff(want, w.series(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := w.DB.Owner.Exec(t.Context(), `ANALYZE recharge_inquiries`); err != nil {
		t.Fatal(err)
	}
	for index, asked := range map[string][]any{
		"recharge_inquiries_by_when_due":    {"EXPLAIN " + inquiry.BacklogSQL, tasks.Channels(), inquiry.CountMax},
		"recharge_inquiries_by_when_to_try": {"EXPLAIN " + inquiry.ClaimSQL, "wechat", noon, inquiry.LookMax, 1, noon},
	} {
		rows, err := w.DB.Pool.Query(t.Context(), asked[0].(string), asked[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if plan := strings.Join(lines, "\n"); err != nil || !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan on recharge_inquiries") {
			t.Errorf("%v, does not go by %s:\n%s", err, index, plan)
		}
	}
}
