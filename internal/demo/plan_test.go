package demo

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// date is the day of the tests' plans.
var date = time.Date(2026, 3, 2, 12, 0, 0, 0, clock.Shanghai)

func smallPlan(seed uint64) *Plan {
	return NewPlan(PlanConfig{Seed: seed, Users: 1_000, Requests: 20_000, Date: date})
}

// turns lists a plan's turns.
func turns(plan *Plan) []Turn {
	return slices.Concat(slices.Concat(plan.Morning...), slices.Concat(plan.Day...))
}

func TestSameSeedDrawsTheSameDay(t *testing.T) {
	t.Parallel()
	text := func(plan *Plan) string {
		var payloads []tasks.Payload
		for _, turn := range turns(plan) {
			payloads = append(payloads, turn.Ask.Payload, turn.Other)
		}
		encoded, err := json.Marshal(payloads)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	first, second, other := text(smallPlan(7)), text(smallPlan(7)), text(smallPlan(8))
	if first != second {
		t.Error("the same seed draws another day")
	}
	if first == other {
		t.Error("another seed draws the same day")
	}
}

func TestPlanAsksExactlyAsOftenAsItShould(t *testing.T) {
	t.Parallel()
	asked := 0
	for _, turn := range turns(smallPlan(7)) {
		asked += turn.copies()
	}
	if asked != 20_000 {
		t.Errorf("the plan asks %d times, want 20000", asked)
	}
}

func TestPlanAsksNothingThatIsRefusedForAField(t *testing.T) {
	t.Parallel()
	for _, turn := range turns(smallPlan(7)) {
		for _, payload := range []tasks.Payload{turn.Ask.Payload, turn.Other} {
			if payload == nil {
				continue
			}
			if _, err := tasks.NewRequest(payload, 4, date); err != nil {
				t.Fatalf("%s: %v", turn.Ask.name(), err)
			}
		}
	}
}

func TestPlanHoldsEverythingThatADayCanBring(t *testing.T) {
	t.Parallel()
	fates, reasons := map[Fate]int{}, map[tasks.Reason]int{}
	keys := map[requestName]*Ask{}
	contests := map[*Contest]int{}
	var atOnce, again, conflicts, paid, wrong int
	for _, turn := range turns(smallPlan(7)) {
		ask := turn.Ask
		if known := keys[ask.name()]; known != nil && known != ask {
			t.Fatalf("%s is two different asks", ask.name())
		}
		if keys[ask.name()] == ask && turn.Other == nil {
			again++
		}
		if turn.Other != nil {
			conflicts++
			if keys[ask.name()] == nil {
				t.Fatalf("%s is asked with other content before it is asked itself", ask.name())
			}
		}
		if _, suspended := ask.Payload.(*tasks.Suspension); suspended {
			wrong++
		} else if ask.RechargeOrder != nil {
			paid++
		}
		if turn.copies() > 1 {
			atOnce++
		}
		if keys[ask.name()] == nil && ask.Contest != nil {
			contests[ask.Contest]++
		}
		keys[ask.name()] = ask
		fates[ask.Fate]++
		reasons[ask.Reason]++
	}
	for contest, asks := range contests {
		if asks != contest.Wins+1 {
			t.Errorf("%s is contested by %d asks for %d places", contest.Name, asks, contest.Wins)
		}
	}
	for _, reason := range []tasks.Reason{tasks.InsufficientFunds, tasks.NoAccount, tasks.ExcludedLines, tasks.BalanceOnly,
		tasks.ExceedsRefundable, tasks.ExceedsLine, tasks.UnknownLine, tasks.OrderOfAnotherUser, tasks.ChannelPaymentUsed} {
		if reasons[reason] == 0 {
			t.Errorf("nothing is to be rejected for %s", reason)
		}
	}
	if paid == 0 || wrong == 0 {
		t.Errorf("%d recharges are paid at a channel, and %d with a wrong amount: want some of each", paid, wrong)
	}
	if fates[FateParked] == 0 || len(contests) == 0 || atOnce == 0 || again == 0 || conflicts == 0 {
		t.Errorf("%d parked, %d contests, %d at once, %d again, %d conflicts: want some of each", fates[FateParked], len(contests), atOnce,
			again, conflicts)
	}
}

func TestSharesAddUpAndFavourTheLargestFraction(t *testing.T) {
	t.Parallel()
	o := &order{legs: []leg{{tasks.SourceReward, 1_00}, {tasks.SourceCash, 1_00}, {tasks.SourceWeChat, 1_01}}}
	for fen, want := range map[int64][]int64{3_01: {1_00, 1_00, 1_01}, 1: {0, 0, 1}, 2: {1, 0, 1}, 1_00: {33, 33, 34}} {
		if diff := cmp.Diff(want, o.shares(fen)); diff != "" {
			t.Errorf("shares of %d (-want +got):\n%s", fen, diff)
		}
	}
}

// The story has no room for a channel that hesitates.
func TestEveryChannelAnswersTheStorysRefundAtOnce(t *testing.T) {
	t.Parallel()
	number := refund.Number(storyRefundID, 1)
	moody := channel.NewSimulator(channel.SimulatorConfig{FailedPerMille: 500, UnknownPerMille: 500})
	answer, err := moody.Refund(t.Context(), tasks.RefundOrder{Number: number})
	if err != nil || answer.State != channel.RefundSucceeded {
		t.Errorf("refund %s: %+v, %v; choose another storyRefundID", number, answer, err)
	}
}

// A demo's ledger has 2 to 8 books, by the machine's cores.
func TestLinAndJunLiveInDifferentBooks(t *testing.T) {
	t.Parallel()
	for books := 2; books <= 8; books++ {
		if tasks.BookOf(lin, books) == tasks.BookOf(jun, books) {
			t.Errorf("of %d books both live in book %d; the story says otherwise", books, tasks.BookOf(lin, books))
		}
	}
}
