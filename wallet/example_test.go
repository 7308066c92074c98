package wallet_test

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

// Ada pays 100.00 with 80.00 of her balance and 20.00 of WeChat Pay.
func ExamplePaymentCapture() {
	state := ledger.NewState(0, 1, tasks.DefaultPolicy())
	state.PutAccount(ledger.UserCash("ada"), money.FromFen(100_00))
	state.PutAccount(ledger.UserReward("ada"), money.FromFen(0))
	decision := wallet.PaymentCapture().Decide(state, &ledger.Request{Payload: &tasks.Payment{
		OrderID: "o1", UserID: "ada", MerchantID: "shop",
		Legs: []tasks.Leg{
			{Source: tasks.SourceCash, Amount: money.FromFen(80_00)},
			{Source: tasks.SourceWeChat, Amount: money.FromFen(20_00)},
		},
	}})
	for _, transfer := range decision.Transfers {
		fmt.Println(transfer.Debit.Name(), "->", transfer.Credit.Name(), transfer.Amount)
	}
	// Output:
	// user/ada/cash -> merchant/shop/payable 80.00
	// channel/wechat/clearing -> merchant/shop/payable 20.00
}
