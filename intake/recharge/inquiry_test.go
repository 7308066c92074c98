package recharge_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// inquiriesOf are all times at which an order is asked about.
func inquiriesOf(order recharge.Order) (pauses []time.Duration) {
	for at, more := order.NextInquiry(order.CreatedAt); more; at, more = order.NextInquiry(at) {
		pauses = append(pauses, at.Sub(order.CreatedAt))
	}
	return pauses
}

func TestOrderIsAskedAboutWhileItIsOpenAndAfterIt(t *testing.T) {
	t.Parallel()
	const m, h = time.Minute, time.Hour
	for open, want := range map[time.Duration][]time.Duration{
		recharge.ExpiresAfterMin:     {2 * m, 61 * m, 24*h + m, 72*h + m},
		15 * m:                       {5 * m, 16 * m, 75 * m, 24*h + 15*m, 72*h + 15*m},
		recharge.ExpiresAfterDefault: {5 * m, 15 * m, h, 2*h + m, 3 * h, 26 * h, 74 * h},
		recharge.ExpiresAfterMax:     {5 * m, 15 * m, h, 6 * h, 24*h + m, 25 * h, 48 * h, 96 * h},
	} {
		order := recharge.Order{CreatedAt: ledgertest.Noon, ExpiresAt: ledgertest.Noon.Add(open)}
		if got := inquiriesOf(order); !slices.Equal(got, want) {
			t.Errorf("open for %s: asked about after %s, want %s", open, got, want)
		}
	}
}

// Whatever an order's time is, it is asked about soon after a payer usually pays and after it has ended, and at some time no more.
func TestEveryOrderHasAScheduleThatGrowsAndEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		open := time.Duration(rapid.Int64Range(int64(recharge.ExpiresAfterMin), int64(recharge.ExpiresAfterMax)).Draw(t, "open"))
		order := recharge.Order{CreatedAt: ledgertest.Noon, ExpiresAt: ledgertest.Noon.Add(open)}
		pauses := inquiriesOf(order)
		if len(pauses) < 4 || len(pauses) > 8 || pauses[0] > 6*time.Minute || pauses[len(pauses)-1] != open+72*time.Hour {
			t.Fatalf("asked about after %s", pauses)
		}
		if !slices.Contains(pauses, open+time.Minute) {
			t.Fatalf("not asked about when it has expired: %s", pauses)
		}
	})
}

// The inquiry comes with the order, once, and at its time.
func TestOrderComesWithItsInquiry(t *testing.T) {
	t.Parallel()
	o := open(t)
	for range 2 {
		order := o.open(t, asked(nil))
		o.clock.Advance(time.Minute)
		var inquiries int
		var at time.Time
		if err := o.DB.Pool.QueryRow(t.Context(), `SELECT count(*) OVER (), due_at FROM recharge_inquiries
			WHERE recharge_id = 'rc1' AND channel = 'wechat' AND try_at = due_at`).Scan(&inquiries, &at); err != nil {
			t.Fatal(err)
		}
		if want := order.CreatedAt.Add(5 * time.Minute); inquiries != 1 || !at.Equal(want) {
			t.Errorf("%d inquiries, at %s, want one at %s", inquiries, at, want)
		}
	}
}
