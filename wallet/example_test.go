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

// Ada has sent 4900.00 today, in three transfers. Of the policy's 5000.00 a day 100.00 are left.
func ExampleTransferSend() {
	state := ledger.NewState(0, 1, tasks.DefaultPolicy())
	state.PutAccount(ledger.UserCash("ada"), money.FromFen(800_00))
	state.PutAccount(ledger.UserCash("ben"), money.FromFen(0))
	state.PutSentDay("ada", "2026-03-02", money.FromFen(4900_00), 3)
	for _, fen := range []int64{100_01, 100_00} {
		decision := wallet.TransferSend().Decide(state, &ledger.Request{BusinessDate: "2026-03-02",
			Payload: &tasks.Transfer{FromUserID: "ada", ToUserID: "ben", Amount: money.FromFen(fen)}})
		fmt.Println(money.FromFen(fen), "applied:", decision.Applied())
		fmt.Println(decision.Reason(), decision.Detail())
	}
	// Output:
	// 100.01 applied: false
	// transfer_limit needed 100.01, left 100.00 in 47 transfers; a day has 5000.00 in 50, sent on 2026-03-02 were 4900.00 in 3
	// 100.00 applied: true
}
