package tasks_test

import (
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// An event may be said to happen a day from now, to the microsecond, and no later, however it is asked.
func TestEventThatIsMoreThanADayAheadIsRefused(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(time.Date(2026, 3, 2, 15, 59, 0, 0, time.UTC))
	d := newDesk(t, nil, tasks.ClientConfig{Clock: now})
	latest := now.Now().Add(24 * time.Hour)
	at := func(id string, at time.Time) *tasks.Transfer {
		transfer := ledgertest.Transfer(id, "u1", "u2", "1.00")
		transfer.OccurredAt = at
		return transfer
	}
	_, err := d.client.Enqueue(t.Context(), at("t1", latest.Add(time.Microsecond)))
	expectRefusal(t, err, "occurred_at", "2026-03-03T15:59:00Z")
	items, err := d.client.EnqueueMany(t.Context(), []tasks.Payload{at("t1", latest.AddDate(70, 0, 0)), at("t2", latest), at("t2", latest.Add(time.Second))})
	if err != nil || items[1].Err != nil || items[1].Receipt.Status != tasks.Accepted {
		t.Fatal(err, items)
	}
	expectRefusal(t, items[0].Err, "occurred_at", "2096-03-03")
	expectRefusal(t, items[2].Err, "occurred_at", "")
	tx, err := d.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.client.EnqueueTx(t.Context(), tx, at("t3", latest), at("t1", latest.Add(time.Second)))
	expectRefusal(t, err, "occurred_at", "")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A refused recharge leaves its id to a recharge order.
	recharge := ledgertest.Recharge("r1", "u1", "1.00")
	recharge.OccurredAt = latest.Add(time.Hour)
	_, err = d.client.Enqueue(t.Context(), recharge)
	expectRefusal(t, err, "occurred_at", "")
	if n := d.count(t, "SELECT count(*) FROM recharge_ids"); n != 0 {
		t.Errorf("%d ids are taken by what was refused", n)
	}
	d.expectStored(t, 1)
	now.Advance(time.Hour)
	if receipt, err := d.client.Enqueue(t.Context(), at("t1", latest.Add(time.Hour))); err != nil || receipt.Status != tasks.Accepted {
		t.Errorf("an hour later: %+v, %v", receipt, err)
	}
}

// What a channel has said is not refused for its clock, what has the time of its cause is not, nor what carries none.
func TestOnlyWhatProducersSayIsAheadOfTime(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(time.Date(2026, 3, 2, 15, 59, 0, 0, time.UTC))
	d := newDesk(t, nil, tasks.ClientConfig{Clock: now})
	later := now.Now().AddDate(0, 0, 2)
	heard := ledgertest.Recharge("r1", "u1", "1.00")
	heard.OccurredAt = later
	if _, err := d.client.FromChannel().Enqueue(t.Context(), heard); err != nil {
		t.Error(err)
	}
	if _, err := d.client.Enqueue(t.Context(), &tasks.RefundOrder{Number: "rf1", RefundID: "rf1", UserID: "u1", Channel: tasks.SourceWeChat,
		ChannelTxnID: "wx1", Amount: yuan("1.00"), OccurredAt: later}); err != nil {
		t.Error(err)
	}
	if _, err := d.client.Enqueue(t.Context(), &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"}); err != nil {
		t.Error(err)
	}
	d.expectStored(t, 3)
}

// What was accepted before is answered as before: by a version that took any time, or by a clock that has been set back since.
func TestStoredRequestAheadOfTimeIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(time.Date(2026, 3, 2, 15, 59, 0, 0, time.UTC))
	d := newDesk(t, nil, tasks.ClientConfig{Clock: now})
	transfer := ledgertest.Transfer("t1", "u1", "u2", "1.00")
	transfer.OccurredAt = now.Now()
	if _, err := d.client.Enqueue(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	now.Advance(-48 * time.Hour)
	if receipt, err := d.client.Enqueue(t.Context(), transfer); err != nil || receipt.Status != tasks.Replayed {
		t.Errorf("again: %+v, %v", receipt, err)
	}
	items, err := d.client.EnqueueMany(t.Context(), []tasks.Payload{ledgertest.Transfer("t2", "u1", "u2", "1.00"), transfer})
	if err != nil || items[1].Receipt.Status != tasks.Replayed {
		t.Fatalf("among others: %+v, %v", items, err)
	}
	expectRefusal(t, items[0].Err, "occurred_at", "")
	other := *transfer
	other.Amount = yuan("2.00")
	if items, err := d.client.EnqueueMany(t.Context(), []tasks.Payload{&other}); err != nil || items[0].Receipt.Status != tasks.Conflicting {
		t.Errorf("with other content: %+v, %v", items, err)
	}
}
