package ledger_test

import (
	"testing"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// A failover or a restore may lose the commit that opened an account; its id then goes to the next one that is opened. A lane that has
// lived through it still remembers the id.
func TestAccountWhoseIDWentToAnotherOneIsFoundByItsName(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	paid := func(order, merchant string) {
		t.Helper()
		ledgertest.Applied(t, b.Do(t, &tasks.Payment{OrderID: order, UserID: "u1", MerchantID: merchant, OccurredAt: ledgertest.Noon,
			Legs: []tasks.Leg{{Source: tasks.SourceWeChat, Amount: ledgertest.Yuan("10.00"), ChannelTxnID: "wx-" + order}}})...)
	}
	paid("o1", "shop-a")
	if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE accounts SET name = 'merchant/shop-b/payable' WHERE name = 'merchant/shop-a/payable'"); err != nil {
		t.Fatal(err)
	}
	paid("o2", "shop-a")
	b.Expect(t, ledger.MerchantPayable("shop-b"), "10.00")
	b.Expect(t, ledger.MerchantPayable("shop-a"), "10.00")
}
