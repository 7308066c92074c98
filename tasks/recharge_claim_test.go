package tasks_test

import (
	"errors"
	"testing"

	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// order gives a recharge's id to an order, as opening one does.
func (d *desk) order(t *testing.T, rechargeID string) {
	t.Helper()
	if _, err := d.db.Owner.Exec(t.Context(), "INSERT INTO recharge_ids VALUES ($1, true)", rechargeID); err != nil {
		t.Fatal(err)
	}
}

func isOrdered(err error) bool {
	bad := (*tasks.FieldError)(nil)
	return errors.As(err, &bad) && bad.Field == "recharge_id"
}

func TestRechargeThatHasAnOrderIsConfirmedByItsChannelAloneHoweverItIsAsked(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	d.order(t, "rc1")
	ordered, free := ledgertest.Recharge("rc1", "mallory", "9999.00"), ledgertest.Recharge("rc2", "u2", "1.00")
	if receipt, err := d.client.Enqueue(t.Context(), ordered); !isOrdered(err) {
		t.Errorf("alone: %+v, %v", receipt, err)
	}
	items, err := d.client.EnqueueMany(t.Context(), []tasks.Payload{reward("r1", "u1", "1.00"), ordered, free})
	if err != nil || !isOrdered(items[1].Err) || items[0].Receipt.Key != "r1" || items[2].Receipt.Key != "rc2" {
		t.Errorf("among others: %+v, %v", items, err)
	}
	tx, err := d.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if receipts, err := d.client.EnqueueTx(t.Context(), tx, ordered); !isOrdered(err) {
		t.Errorf("in a transaction: %+v, %v", receipts, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.expectStored(t, 2)
	for _, client := range []*tasks.Client{d.client.FromChannel(), d.as(t, "shop").FromChannel()} {
		if receipt, err := client.Enqueue(t.Context(), ordered); err != nil || receipt.Key != "rc1" {
			t.Errorf("by its channel: %+v, %v", receipt, err)
		}
	}
}

func TestRechargeThatIsConfirmedTakesItsIDAndARefusedOneDoesNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	refused, heard := ledgertest.Recharge("rc3", "u1", "1.00"), ledgertest.Recharge("rc4", "u1", "1.00")
	refused.UserID = ""
	if _, err := d.client.EnqueueMany(t.Context(), []tasks.Payload{ledgertest.Recharge("rc2", "u1", "1.00"), refused}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client.Enqueue(t.Context(), ledgertest.Recharge("rc1", "u1", "1.00")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client.FromChannel().Enqueue(t.Context(), heard); err != nil {
		t.Fatal(err)
	}
	if n := d.count(t, "SELECT count(*) FROM recharge_ids WHERE recharge_id IN ('rc1', 'rc2') AND NOT ordered"); n != 2 ||
		d.count(t, "SELECT count(*) FROM recharge_ids") != 2 {
		t.Errorf("%d of the two ids are taken", n)
	}
}
