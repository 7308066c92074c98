package main

import (
	"testing"

	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestOrdersAreAskedAboutOnCommand(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	orders := recharge.NewOrders(books.DB.Pool, books.Client.Books(), clock.System)
	for _, id := range []string{"rc1", "rc2"} {
		if _, _, err := orders.Open(t.Context(), "shop", tasks.RechargeOrder{RechargeID: id, UserID: "u1", Channel: tasks.SourceWeChat,
			Amount: ledgertest.Yuan("1.00")}); err != nil {
			t.Fatal(err)
		}
	}
	c.run(t, "inquire", "rc1", "nobody").expect(t, exitNo, "rc1 is asked about", `"nobody" is not there`)
	c.run(t, "inquire", "--all").expect(t, exitOK, "asked about now, and not later: 1") // rc2
}
