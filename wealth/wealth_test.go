package wealth_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wealth"
)

const fund = "xiaojinku"

var occurredAt = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func setup(usersMax int, minSweepFen int64) *ledger.State {
	policy := tasks.DefaultPolicy()
	policy.SweepUsersMax = usersMax
	policy.Products = []tasks.Product{{ProductID: fund, MinSweep: money.FromFen(minSweepFen)}}
	s := ledger.NewState(0, 3, policy)
	s.PutEnrolment(fund, "ada", nil)
	return s
}

func decide(t rapid.TB, s *ledger.State, rule ledger.Rule, payload tasks.Payload) ledger.Decision {
	t.Helper()
	if err := tasks.Validate(payload); err != nil {
		t.Fatalf("payload: %v", err)
	}
	if rule.Kind() != payload.Kind() {
		t.Fatalf("rule of %s was given %s", rule.Kind(), payload.Kind())
	}
	d := rule.Decide(s, &ledger.Request{Kind: payload.Kind(), Payload: payload})
	if d.Applied() {
		if err := s.Post(d); err != nil {
			t.Fatalf("post: %v", err)
		}
	}
	return d
}

func enrolment(keepFen int64) *tasks.Enrolment {
	return &tasks.Enrolment{EnrolmentID: "e1", UserID: "ada", ProductID: fund, KeepAmount: money.FromFen(keepFen),
		ConsentVersion: "2026-01", OccurredAt: occurredAt}
}

func TestEnrolmentOpensTheAccountsThatAreMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cash  int64
		opens []ledger.AccountName
	}{
		"a new user":       {-1, []ledger.AccountName{"user/ada/cash", "user/ada/wealth/xiaojinku"}},
		"one who has cash": {0, []ledger.AccountName{"user/ada/wealth/xiaojinku"}},
	} {
		s := setup(10, 1)
		s.PutAccount(ledger.UserCash("ada"), money.FromFen(c.cash))
		s.PutAccount(ledger.UserWealth("ada", fund), money.FromFen(-1))
		d := decide(t, s, wealth.Enrol(), enrolment(100_00))
		var opens []ledger.AccountName
		for _, account := range d.Opens {
			opens = append(opens, account.Name())
		}
		if diff := cmp.Diff(c.opens, opens); !d.Applied() || diff != "" {
			t.Errorf("%s: applied %v, opens (-want +got):\n%s", name, d.Applied(), diff)
		}
		if !s.Account(ledger.UserWealth("ada", fund)).Exists() || !s.Account(ledger.UserCash("ada")).Exists() {
			t.Errorf("%s: an account is missing after the enrolment", name)
		}
	}
}

func TestLaterEnrolmentReplacesTheKeepAmount(t *testing.T) {
	t.Parallel()
	s := setup(10, 1)
	s.PutAccount(ledger.UserCash("ada"), money.FromFen(0))
	s.PutAccount(ledger.UserWealth("ada", fund), money.FromFen(-1))
	for _, keep := range []int64{100_00, 0} {
		d := decide(t, s, wealth.Enrol(), enrolment(keep))
		stored, ok := s.Enrolment(fund, "ada")
		if !d.Applied() || !ok || stored.Keep != money.FromFen(keep) || stored.ConsentVersion != "2026-01" ||
			stored.Cash != s.Account(ledger.UserCash("ada")) || stored.Wealth != s.Account(ledger.UserWealth("ada", fund)) {
			t.Errorf("applied %v, enrolled %v with %+v; want keep %d", d.Applied(), ok, stored, keep)
		}
		if len(d.Transfers) != 0 {
			t.Errorf("an enrolment moves %v", d.Transfers)
		}
	}
}

func TestAnEarlierConsentThatArrivesLateChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(10, 1)
	s.PutAccount(ledger.UserCash("ada"), money.FromFen(0))
	s.PutAccount(ledger.UserWealth("ada", fund), money.FromFen(-1))
	decide(t, s, wealth.Enrol(), enrolment(100_00))
	late := enrolment(0)
	late.OccurredAt = occurredAt.Add(-time.Hour)
	d := decide(t, s, wealth.Enrol(), late)
	stored, _ := s.Enrolment(fund, "ada")
	if !d.Applied() || len(d.Enrolments) != 0 || stored.Keep != money.FromFen(100_00) {
		t.Errorf("applied %v with %v; the standing consent keeps %s, want 100.00", d.Applied(), d.Enrolments, stored.Keep)
	}
}

func TestProductThatIsNotOfferedIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(10, 1)
	s.PutAccount(ledger.UserCash("ada"), money.FromFen(0))
	s.PutAccount(ledger.UserWealth("ada", "closed"), money.FromFen(-1))
	s.PutSweepPage("closed", "", nil)
	enrol := enrolment(0)
	enrol.ProductID = "closed"
	for _, c := range []struct {
		rule    ledger.Rule
		payload tasks.Payload
	}{
		{wealth.Enrol(), enrol},
		{wealth.SweepRun(), &tasks.Sweep{ProductID: "closed", BusinessDate: "2026-03-02"}},
		{wealth.SweepChunk(), &tasks.SweepPart{ProductID: "closed", BusinessDate: "2026-03-02"}},
	} {
		d := decide(t, s, c.rule, c.payload)
		if d.Applied() || d.Reason() != tasks.ProductNotOffered || d.Detail() != "product closed is not offered" {
			t.Errorf("%s: applied %v, %q, %q; want %q", c.rule.Kind(), d.Applied(), d.Reason(), d.Detail(), tasks.ProductNotOffered)
		}
	}
}

func TestNightAsksEveryBookForItsFirstPart(t *testing.T) {
	t.Parallel()
	d := decide(t, setup(10, 1), wealth.SweepRun(), &tasks.Sweep{ProductID: fund, BusinessDate: "2026-03-02"})
	want := []tasks.Payload{
		&tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", Book: 0},
		&tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", Book: 1},
		&tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", Book: 2},
	}
	if diff := cmp.Diff(want, d.FollowUps); diff != "" || len(d.Transfers) != 0 {
		t.Errorf("moves %v, follow-ups (-want +got):\n%s", d.Transfers, diff)
	}
}

// enrolled puts a user's accounts into the state and returns the enrolment.
func enrolled(s *ledger.State, user string, cashFen, keepFen int64) ledger.Enrolment {
	return ledger.Enrolment{ProductID: fund, UserID: user, Keep: money.FromFen(keepFen), ConsentVersion: "2026-01",
		Cash:   s.PutAccount(ledger.UserCash(user), money.FromFen(cashFen)),
		Wealth: s.PutAccount(ledger.UserWealth(user, fund), money.FromFen(0))}
}

func TestSweepTakesWhatIsAboveTheKeepAmount(t *testing.T) {
	t.Parallel()
	s := setup(6, 1_00)
	s.PutSweepPage(fund, "", []ledger.Enrolment{
		enrolled(s, "a-above", 150_00, 100_00), enrolled(s, "b-at", 100_00, 100_00), enrolled(s, "c-below", 99_99, 100_00),
		enrolled(s, "d-too-little", 100_99, 100_00), enrolled(s, "e-just-enough", 101_00, 100_00), enrolled(s, "f-keeps-nothing", 7_00, 0),
	})
	d := decide(t, s, wealth.SweepChunk(), &tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", Book: 1})
	subscription := func(user string, amount, keep, after int64, transfer int) ledger.Subscription {
		return ledger.Subscription{ProductID: fund, BusinessDate: "2026-03-02", UserID: user, Amount: money.FromFen(amount),
			Keep: money.FromFen(keep), CashAfter: money.FromFen(after), Transfer: transfer}
	}
	want := []ledger.Subscription{subscription("a-above", 50_00, 100_00, 100_00, 0),
		subscription("e-just-enough", 1_00, 100_00, 100_00, 1), subscription("f-keeps-nothing", 7_00, 0, 0, 2)}
	if diff := cmp.Diff(want, d.Subscriptions); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
	for i, swept := range want {
		transfer := d.Transfers[swept.Transfer]
		if transfer.Debit.Name() != ledger.UserCash(swept.UserID) || transfer.Credit.Name() != ledger.UserWealth(swept.UserID, fund) ||
			transfer.Amount != swept.Amount {
			t.Errorf("transfer %d: %s -> %s %s", i, transfer.Debit.Name(), transfer.Credit.Name(), transfer.Amount)
		}
	}
	if want := "6 users seen, 3 swept, 58.00 in all"; d.Detail() != want {
		t.Errorf("detail %q, want %q", d.Detail(), want)
	}
	next := []tasks.Payload{&tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", Book: 1, AfterUserID: "f-keeps-nothing"}}
	if diff := cmp.Diff(next, d.FollowUps); diff != "" {
		t.Errorf("follow-ups (-want +got):\n%s", diff)
	}
}

func TestLastPageAsksForNoOther(t *testing.T) {
	t.Parallel()
	for _, users := range []int{0, 1} {
		s := setup(2, 1)
		var page []ledger.Enrolment
		for range users {
			page = append(page, enrolled(s, "ada", 150_00, 100_00))
		}
		s.PutSweepPage(fund, "z", page)
		d := decide(t, s, wealth.SweepChunk(), &tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", AfterUserID: "z"})
		if !d.Applied() || len(d.FollowUps) != 0 || len(d.Transfers) != users {
			t.Errorf("%d users: applied %v, moves %d, asks for %v", users, d.Applied(), len(d.Transfers), d.FollowUps)
		}
	}
}

// A night over random users, page by page as the ledger would read them: each user is seen once, nobody is left below the keep
// amount, and nobody who is above it is passed over.
func TestNightSweepsEveryUserOnceAndNeverBelowTheKeepAmount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		usersMax := rapid.IntRange(1, 5).Draw(t, "users per page")
		minSweep := rapid.Int64Range(1, 200).Draw(t, "smallest subscription")
		s := setup(usersMax, minSweep)
		var users []ledger.Enrolment
		before := map[string]int64{}
		for i := range rapid.IntRange(0, 17).Draw(t, "users") {
			user := fmt.Sprintf("u%02d", i)
			before[user] = rapid.Int64Range(0, 1000).Draw(t, "cash")
			users = append(users, enrolled(s, user, before[user], rapid.Int64Range(0, 1000).Draw(t, "keep")))
		}
		for after, pages := "", 0; ; pages++ {
			if pages > len(users)/usersMax {
				t.Fatalf("%d pages of %d for %d users", pages+1, usersMax, len(users))
			}
			start := slices.IndexFunc(users, func(e ledger.Enrolment) bool { return e.UserID > after })
			if start < 0 {
				start = len(users)
			}
			s.PutSweepPage(fund, after, users[start:min(start+usersMax, len(users))])
			d := decide(t, s, wealth.SweepChunk(), &tasks.SweepPart{ProductID: fund, BusinessDate: "2026-03-02", AfterUserID: after})
			if len(d.FollowUps) == 0 {
				break
			}
			after = d.FollowUps[0].(*tasks.SweepPart).AfterUserID
		}
		for _, user := range users {
			cash, shares, keep := user.Cash.Balance().Fen(), user.Wealth.Balance().Fen(), user.Keep.Fen()
			want := before[user.UserID] - keep
			if want < minSweep {
				want = 0
			}
			if shares != want || cash != before[user.UserID]-want || shares > 0 && cash < keep {
				t.Errorf("%s had %d and keeps %d: cash %d, swept %d, want %d", user.UserID, before[user.UserID], keep, cash, shares, want)
			}
		}
	})
}
