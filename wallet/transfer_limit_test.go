package wallet_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

// rich is a user who has far more than a day's limit and has sent so much today.
func rich(t *testing.T, sent string, transfers int) fixture {
	t.Helper()
	f := setup(1).user("ada", 1_000_000_00, notOpened).user("ben", 0, notOpened)
	f.PutSentDay("ada", today, yuan(t, sent), transfers)
	return f
}

func TestTransferOfExactlyWhatIsLeftOfTheDayIsApplied(t *testing.T) {
	t.Parallel()
	f := rich(t, "4900.00", 49)
	wantMoves(t, f.decide(t, wallet.TransferSend(), transfer(t, "100.00")), move{"user/ada/cash", "user/ben/cash", "100.00"})
	if day := f.SentDay("ada", today); day.Amount != yuan(t, "5000.00") || day.Transfers != 50 {
		t.Errorf("counted are %s in %d, want 5000.00 in 50", day.Amount, day.Transfers)
	}
}

func TestTransferBeyondTheDaysLimitsIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent      string
		transfers int
		amount    string
		detail    string
	}{
		"a fen too much": {"4900.00", 3, "100.01",
			"needed 100.01, left 100.00 in 47 transfers; a day has 5000.00 in 50, sent on 2026-03-02 were 4900.00 in 3"},
		"more than any day has": {"0.00", 0, "5000.01",
			"needed 5000.01, left 5000.00 in 50 transfers; a day has 5000.00 in 50, sent on 2026-03-02 were 0.00 in 0"},
		"one too many": {"0.50", 50, "0.01",
			"needed 0.01, left 4999.50 in 0 transfers; a day has 5000.00 in 50, sent on 2026-03-02 were 0.50 in 50"},
		"after the policy was lowered": {"9000.00", 60, "0.01",
			"needed 0.01, left 0.00 in 0 transfers; a day has 5000.00 in 50, sent on 2026-03-02 were 9000.00 in 60"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := rich(t, c.sent, c.transfers)
			wantReject(t, f.decide(t, wallet.TransferSend(), transfer(t, c.amount)), tasks.TransferLimit, c.detail)
			if day := f.SentDay("ada", today); day.Amount != yuan(t, c.sent) || day.Transfers != c.transfers {
				t.Errorf("a refused transfer is counted: %s in %d", day.Amount, day.Transfers)
			}
		})
	}
}

// A smaller transfer after a refused one still fits, and the next date begins anew.
func TestRefusedTransferTakesNothingOfTheDay(t *testing.T) {
	t.Parallel()
	f := rich(t, "4900.00", 3)
	f.PutSentDay("ada", "2026-03-03", money.Amount{}, 0)
	large := transfer(t, "200.00")
	wantReject(t, f.decide(t, wallet.TransferSend(), large), tasks.TransferLimit,
		"needed 200.00, left 100.00 in 47 transfers; a day has 5000.00 in 50, sent on 2026-03-02 were 4900.00 in 3")
	wantMoves(t, f.decide(t, wallet.TransferSend(), transfer(t, "100.00")), move{"user/ada/cash", "user/ben/cash", "100.00"})
	large.OccurredAt = time.Date(2026, 3, 3, 0, 0, 0, 0, clock.Shanghai)
	wantMoves(t, f.decide(t, wallet.TransferSend(), large), move{"user/ada/cash", "user/ben/cash", "200.00"})
}

// What a user lacks is told before what the day lacks.
func TestLackOfMoneyIsToldBeforeTheLimit(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 100_00, notOpened).user("ben", 0, notOpened).user("cem", notOpened, notOpened)
	for _, user := range []string{"ada", "cem"} {
		f.PutSentDay(user, today, yuan(t, "5000.00"), 50)
	}
	wantReject(t, f.decide(t, wallet.TransferSend(), transfer(t, "100.01")), tasks.InsufficientFunds, "cash: needed 100.01, available 100.00")
	unknown := transfer(t, "1.00")
	unknown.FromUserID = "cem"
	wantReject(t, f.decide(t, wallet.TransferSend(), unknown), tasks.NoAccount, "the sender has no cash account")
}

func TestWhatArrivesIsNeitherLimitedNorCounted(t *testing.T) {
	t.Parallel()
	f := setup(2).user("ben", 0, notOpened)
	f.PutSentDay("ben", today, yuan(t, "5000.00"), 50)
	for i := range 60 {
		d := f.decide(t, wallet.TransferReceive(), &tasks.TransferArrival{TransferID: fmt.Sprint("tr", i), FromBook: 1, ToUserID: "ben",
			Amount: yuan(t, "1000.00"), OccurredAt: occurredAt})
		if !d.Applied() || d.Sends != nil {
			t.Fatalf("arrival %d: applied %v, counted %v", i, d.Applied(), d.Sends)
		}
	}
}

// W8: no date has more than its limits, and no transfer is refused for the limits which would have fitted.
func TestDaysAreFilledToTheirLimitsAndNeverBeyond(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const books = 2
		policy := tasks.DefaultPolicy()
		policy.TransferredPerDayMax = money.FromFen(rapid.Int64Range(1, 300).Draw(t, "amount a day"))
		policy.TransfersPerDayMax = rapid.IntRange(1, 6).Draw(t, "transfers a day")
		users, dates := []string{"ada", "ben", "cem"}, []string{"2026-03-02", "2026-03-03"}
		states := []*ledger.State{ledger.NewState(0, books, policy), ledger.NewState(1, books, policy)}
		type sum struct {
			fen       int64
			transfers int
		}
		sent := map[string]sum{}
		for _, user := range users {
			for _, state := range states {
				state.PutAccount(ledger.UserCash(user), money.FromFen(1_000_000))
				for _, date := range dates {
					state.PutSentDay(user, date, money.Amount{}, 0)
				}
			}
		}
		midnight := time.Date(2026, 3, 3, 0, 0, 0, 0, clock.Shanghai)
		for i := range rapid.IntRange(1, 40).Draw(t, "transfers") {
			pair := rapid.Permutation(users).Draw(t, "users")
			p := &tasks.Transfer{TransferID: fmt.Sprint("tr", i), FromUserID: pair[0], ToUserID: pair[1],
				Amount:     money.FromFen(rapid.Int64Range(1, 120).Draw(t, "fen")),
				OccurredAt: midnight.Add(time.Duration(rapid.IntRange(-2, 1).Draw(t, "from midnight")) * time.Microsecond)}
			request, err := tasks.NewRequest(p, books, occurredAt)
			if err != nil {
				t.Fatal(err)
			}
			state, key := states[request.Book], pair[0]+" "+request.BusinessDate
			was := sent[key]
			fits := was.fen+p.Amount.Fen() <= policy.TransferredPerDayMax.Fen() && was.transfers < policy.TransfersPerDayMax
			d := wallet.TransferSend().Decide(state, &ledger.Request{Kind: p.Kind(), Payload: p, Book: request.Book, BusinessDate: request.BusinessDate})
			if d.Applied() != fits || !fits && d.Reason() != tasks.TransferLimit {
				t.Fatalf("%s of %+v: applied %v (%s: %s), fits %v", p.Amount, was, d.Applied(), d.Reason(), d.Detail(), fits)
			}
			if fits {
				if err := state.Post(d); err != nil {
					t.Fatal(err)
				}
				sent[key] = sum{was.fen + p.Amount.Fen(), was.transfers + 1}
			}
			if day := state.SentDay(pair[0], request.BusinessDate); day.Amount.Fen() != sent[key].fen || day.Transfers != sent[key].transfers {
				t.Fatalf("%s: counted are %s in %d, sent %+v", key, day.Amount, day.Transfers, sent[key])
			}
		}
	})
}
