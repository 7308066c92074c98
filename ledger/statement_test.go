package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// sameAmounts lets cmp compare amounts.
var sameAmounts = cmp.Comparer(func(a, b money.Amount) bool { return a == b })

// line is one side of a transfer as the raw tables tell it.
type line struct {
	Seq     int64
	At      time.Time
	Account ledger.AccountName
	Change  int64
}

const linesSQL = `
SELECT t.seq, t.posted_at, a.name, CASE WHEN a.id = t.debit_account THEN -t.amount_fen ELSE t.amount_fen END
FROM transfers t JOIN accounts a ON a.book = t.book AND a.id IN (t.debit_account, t.credit_account)
WHERE a.name LIKE 'user/' || $1 || '/%' ORDER BY t.seq, a.id = t.credit_account`

func linesOf(t *testing.T, b *ledgertest.Books, user string) []line {
	t.Helper()
	rows, err := b.DB.Owner.Query(t.Context(), linesSQL, user)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowToStructByPos[line])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// randomHistory moves money of a few users about, in batches of several requests.
func randomHistory(t *testing.T, b *ledgertest.Books, users []string, rounds int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	amount := func() string { return money.FromFen(1 + random.Int64N(5000)).String() }
	for round := range rounds {
		var payloads []tasks.Payload
		for i := range 8 {
			user, other := users[random.IntN(len(users))], users[random.IntN(len(users))]
			id := fmt.Sprintf("%d-%d", round, i)
			switch random.IntN(6) {
			case 0, 1:
				payloads = append(payloads, ledgertest.Recharge("r"+id, user, amount()))
			case 2:
				payloads = append(payloads, ledgertest.Reward("w"+id, user, amount()))
			case 3:
				payloads = append(payloads, ledgertest.Payment("o"+id, user, ledgertest.Leg(tasks.SourceCash, amount()), ledgertest.Leg(tasks.SourceReward, amount())))
			case 4:
				payloads = append(payloads, ledgertest.Refund("f"+id, fmt.Sprintf("o%d-%d", random.IntN(round+1), random.IntN(8)), user, amount()))
			case 5:
				if other != user {
					payloads = append(payloads, ledgertest.Transfer("t"+id, user, other, amount()))
				}
			}
		}
		b.Apply(t, b.Accept(t, payloads...)...)
		if round%5 == 4 {
			b.Do(t, &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: fmt.Sprintf("2026-03-%02d", 1+round/5)})
		}
		b.Settle(t)
	}
}

func TestStatementAndBalancesOfThePastAgreeWithARecount(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	users := []string{"ada", "ben", "cem"}
	for i, user := range users {
		ledgertest.Applied(t, b.Do(t, ledgertest.Enrolment("e"+user, user, fmt.Sprint(i*20)+".00"))...)
	}
	randomHistory(t, b, users, 30)
	for _, user := range users {
		lines := linesOf(t, b, user)
		if len(lines) < 20 {
			t.Errorf("%s has only %d lines", user, len(lines))
		}
		expectStatement(t, b, user, lines)
		expectBalancesOfThePast(t, b, user, lines)
	}
}

func expectStatement(t *testing.T, b *ledgertest.Books, user string, lines []line) {
	t.Helper()
	balances := map[ledger.AccountName]int64{}
	type shown struct {
		Seq             int64
		At              time.Time
		Account         ledger.AccountName
		Amount, Balance money.Amount
	}
	var want []shown
	for _, l := range lines {
		balances[l.Account] += l.Change
		want = append(want, shown{l.Seq, l.At, l.Account, money.FromFen(l.Change), money.FromFen(balances[l.Account])})
	}
	slices.Reverse(want) // newest first: of a transfer between two accounts of the user the credit, which follows the debit
	for _, limit := range []int{1, 2, 7, 1000} {
		var got []shown
		for _, e := range wholeStatement(t, b, ledger.StatementQuery{UserID: user, Limit: limit}) {
			got = append(got, shown{e.Seq, e.PostedAt, e.Account, e.Amount, e.Balance})
		}
		if diff := cmp.Diff(want, got, sameAmounts); diff != "" {
			t.Fatalf("statement of %s in pages of %d (-recount +statement):\n%s", user, limit, diff)
		}
	}
}

func expectBalancesOfThePast(t *testing.T, b *ledgertest.Books, user string, lines []line) {
	t.Helper()
	recount := func(at time.Time) map[ledger.AccountName]money.Amount {
		balances := map[ledger.AccountName]money.Amount{}
		for _, l := range lines {
			balances[l.Account] = balances[l.Account].Add(money.Amount{}) // an account that was opened later held nothing
			if !l.At.After(at) {
				balances[l.Account] = balances[l.Account].Add(money.FromFen(l.Change))
			}
		}
		return balances
	}
	var moments []time.Time
	for _, l := range lines {
		moments = append(moments, l.At.Add(-time.Microsecond), l.At, l.At.Add(time.Microsecond))
	}
	moments = append(moments, lines[0].At.Add(-time.Hour), time.Time{})
	for _, at := range moments {
		asked := at
		if at.IsZero() { // now
			at = lines[len(lines)-1].At
		}
		balances, err := b.Reader.Balances(t.Context(), user, asked)
		if err != nil {
			t.Fatal(err)
		}
		got := map[ledger.AccountName]money.Amount{}
		for _, balance := range balances {
			if balance.Available != balance.Balance.Sub(balance.Held) {
				t.Errorf("%+v", balance)
			}
			if balance.Balance.IsPositive() || slices.ContainsFunc(lines, func(l line) bool { return l.Account == balance.Account }) {
				got[balance.Account] = balance.Balance
			}
		}
		if diff := cmp.Diff(recount(at), got, sameAmounts); diff != "" {
			t.Fatalf("balances of %s at %s (-recount +books):\n%s", user, asked, diff)
		}
	}
}

func TestUserIsNotTakenForAnotherWhoseNameBeginsAlike(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	for _, user := range []string{"u", "u1", "u.1", "u-", "u:cash", "U"} {
		ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r"+user, user, "1.00"), ledgertest.Reward("w"+user, user, "1.00"))...)
	}
	for _, user := range []string{"u", "u1", "u.1", "u-", "u:cash", "U"} {
		balances, err := b.Reader.Balances(t.Context(), user, time.Time{})
		if err != nil || len(balances) != 2 || balances[0].Account != ledger.UserCash(user) || balances[1].Account != ledger.UserReward(user) {
			t.Errorf("balances of %s are %+v, %v", user, balances, err)
		}
		entries := wholeStatement(t, b, ledger.StatementQuery{UserID: user, Limit: 10})
		if len(entries) != 2 || entries[0].Key != "w"+user || entries[1].Other != ledger.ChannelClearing(tasks.SourceWeChat) {
			t.Errorf("statement of %s is %+v", user, entries)
		}
	}
	if _, err := b.Reader.Balances(t.Context(), "nobody", time.Time{}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("error is %v, want ErrNotFound", err)
	}
}

func TestRecordTellsEverythingOfARequest(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "8.00"), ledgertest.Leg(tasks.SourceWeChat, "2.00"))
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"), payment)...)
	record, err := b.Reader.Record(t.Context(), tasks.PaymentCapture, "o1")
	if err != nil {
		t.Fatal(err)
	}
	two, ten := ledgertest.Yuan("2.00"), ledgertest.Yuan("8.00")
	want := []ledger.Posted{
		{Seq: 2, Debit: ledger.UserCash("u1"), Credit: ledger.MerchantPayable("m1"), Amount: ten, DebitBalance: &two, BusinessDate: "2026-03-02"},
		{Seq: 3, Debit: ledger.ChannelClearing(tasks.SourceWeChat), Credit: ledger.MerchantPayable("m1"), Amount: two, BusinessDate: "2026-03-02"},
	}
	for i := range record.Transfers {
		want[i].PostedAt = record.Outcome.DecidedAt
	}
	if diff := cmp.Diff(want, record.Transfers, sameAmounts); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
	if record.State != "applied" || record.Producer != "test" || record.Outcome.Transfers != 2 || !record.OccurredAt.Equal(ledgertest.Noon) {
		t.Errorf("record is %+v", record)
	}
	if _, err := b.Reader.Record(t.Context(), tasks.PaymentCapture, "nosuch"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("error is %v, want ErrNotFound", err)
	}
	ledgertest.RejectedFor(t, b.Do(t, ledgertest.Transfer("t1", "u1", "u2", "2.01"))[0], tasks.InsufficientFunds)
	record, err = b.Reader.Record(t.Context(), tasks.TransferSend, "t1")
	if err != nil || record.State != "rejected" || len(record.Transfers) != 0 ||
		record.Timeline[len(record.Timeline)-1].Detail != "insufficient_funds: cash: needed 2.01, available 2.00" {
		t.Errorf("record is %+v, %v", record, err)
	}
}
