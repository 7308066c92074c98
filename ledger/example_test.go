package ledger_test

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// A rule says what it reads and decides over it. It is pure, so a test needs no database.
func ExampleNewRule() {
	rule := ledger.NewRule(func(p *tasks.Reward, r *ledger.Reads) {
		r.Account(ledger.UserReward(p.UserID))
	}, func(s *ledger.State, _ *ledger.Request, p *tasks.Reward) ledger.Decision {
		d := ledger.Apply("thank you")
		d.Move(s.Account(ledger.Promotion(p.CampaignID)), s.Account(ledger.UserReward(p.UserID)), p.Amount)
		return d
	})
	state := ledger.NewState(0, 4, tasks.DefaultPolicy())
	reward := state.PutAccount(ledger.UserReward("u1"), money.FromFen(150))
	decision := rule.Decide(state, &ledger.Request{Payload: &tasks.Reward{UserID: "u1", CampaignID: "c1", Amount: money.FromFen(50)}})
	fmt.Println(rule.Kind(), decision.Applied(), decision.Detail())
	fmt.Println(state.Post(decision), reward.Name(), reward.Balance())
	// Output:
	// reward:grant true thank you
	// <nil> user/u1/reward 2.00
}
