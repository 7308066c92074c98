package wealth_test

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wealth"
)

// Ada keeps 100.00; a night's sweep takes what is above it.
func ExampleSweepChunk() {
	state := ledger.NewState(0, 1, tasks.DefaultPolicy())
	state.PutSweepPage("xiaojinku", "", []ledger.Enrolment{{
		ProductID: "xiaojinku", UserID: "ada", Keep: money.FromFen(100_00),
		Cash:   state.PutAccount(ledger.UserCash("ada"), money.FromFen(123_45)),
		Wealth: state.PutAccount(ledger.UserWealth("ada", "xiaojinku"), money.FromFen(0)),
	}})
	decision := wealth.SweepChunk().Decide(state, &ledger.Request{Payload: &tasks.SweepPart{ProductID: "xiaojinku",
		BusinessDate: "2026-03-02"}})
	fmt.Println(decision.Detail())
	for _, transfer := range decision.Transfers {
		fmt.Println(transfer.Debit.Name(), "->", transfer.Credit.Name(), transfer.Amount)
	}
	// Output:
	// 1 users seen, 1 swept, 23.45 in all
	// user/ada/cash -> user/ada/wealth/xiaojinku 23.45
}
