package wallet_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var occurredAt = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// today is the business date of occurredAt.
const today = "2026-03-02"

// fixture is a book in which the tests' users and channel payments are known. Balances are in fen; notOpened is none at all.
type fixture struct {
	*ledger.State
}

const notOpened = -1

func setup(books int) fixture {
	return fixture{ledger.NewState(0, books, tasks.DefaultPolicy())}
}

func (f fixture) user(id string, cash, reward int64) fixture {
	f.PutAccount(ledger.UserCash(id), money.FromFen(cash))
	f.PutAccount(ledger.UserReward(id), money.FromFen(reward))
	f.PutSentDay(id, today, money.Amount{}, 0)
	return f
}

func (f fixture) payment(channel tasks.Source, txn string, used bool) fixture {
	f.PutReceipt(ledger.Receipt{Channel: channel, TxnID: txn}, used)
	return f
}

// decide runs a rule and posts what it decided.
func (f fixture) decide(t testing.TB, rule ledger.Rule, payload tasks.Payload) ledger.Decision {
	t.Helper()
	request, err := tasks.NewRequest(payload, f.Books(), occurredAt)
	if err != nil {
		t.Fatalf("payload: %v", err)
	}
	if rule.Kind() != payload.Kind() {
		t.Fatalf("rule of %s was given %s", rule.Kind(), payload.Kind())
	}
	d := rule.Decide(f.State, &ledger.Request{Kind: payload.Kind(), Payload: payload, Book: f.Book(), BusinessDate: request.BusinessDate})
	if d.Applied() {
		if err := f.Post(d); err != nil {
			t.Fatalf("post: %v", err)
		}
	}
	return d
}

// move is a transfer as a test writes it.
type move struct {
	Debit, Credit ledger.AccountName
	Amount        string
}

func moves(d ledger.Decision) []move {
	var list []move
	for _, transfer := range d.Transfers {
		list = append(list, move{transfer.Debit.Name(), transfer.Credit.Name(), transfer.Amount.String()})
	}
	return list
}

func wantMoves(t testing.TB, d ledger.Decision, want ...move) {
	t.Helper()
	if !d.Applied() {
		t.Fatalf("rejected: %s: %s", d.Reason(), d.Detail())
	}
	if diff := cmp.Diff(want, moves(d)); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
}

func wantReject(t testing.TB, d ledger.Decision, reason tasks.Reason, detail string) {
	t.Helper()
	if d.Applied() || d.Reason() != reason || d.Detail() != detail {
		t.Errorf("applied %v, reason %q, detail %q; want rejected, %q, %q", d.Applied(), d.Reason(), d.Detail(), reason, detail)
	}
	if len(d.Transfers)+len(d.Orders)+len(d.Receipts)+len(d.FollowUps)+len(d.Wakes) > 0 {
		t.Errorf("a rejection does something: %+v", d)
	}
}

func yuan(t testing.TB, text string) money.Amount {
	t.Helper()
	amount, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}
