package ledgertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Books are one test's ledger.
type Books struct {
	DB     *pgtest.Database
	Ledger *ledger.Ledger
	Client *tasks.Client
	Reader *ledger.Reader

	mu  sync.Mutex
	due []tasks.Bell
}

// Option changes what Open opens.
type Option func(*ledger.Config)

// WithRules replaces the rules.
func WithRules(rules ...ledger.Rule) Option { return func(c *ledger.Config) { c.Rules = rules } }

// Open opens books on a database of the test's own. When the test ends the audit must find nothing, unless the test has failed.
func Open(t testing.TB, options ...Option) *Books {
	t.Helper()
	return OpenOn(t, pgtest.New(t), options...)
}

// OpenOn opens books on a database that the test made.
func OpenOn(t testing.TB, db *pgtest.Database, options ...Option) *Books {
	t.Helper()
	b := &Books{DB: db, Reader: ledger.NewReader(db.Pool)}
	Audit(t, db)
	config := ledger.Config{Rules: rules.All(), Ring: b.ring}
	for _, option := range options {
		option(&config)
	}
	var err error
	if b.Ledger, err = ledger.Open(t.Context(), db.Pool, config); err != nil {
		t.Fatalf("open ledger: %v", err)
	}
	t.Cleanup(b.Ledger.Close)
	if b.Client, err = tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{Producer: "test"}); err != nil {
		t.Fatalf("open client: %v", err)
	}
	t.Cleanup(b.Client.Close)
	return b
}

// Audit makes the audit of a database part of the test's end, before the database is dropped.
func Audit(t testing.TB, db *pgtest.Database) {
	t.Helper()
	db.OnCleanup(func(ctx context.Context, t testing.TB) {
		report, err := ledger.NewReader(db.Pool).Audit(ctx)
		if err != nil {
			t.Errorf("audit: %v", err)
		} else if err := report.Err(); err != nil {
			t.Errorf("audit at the end of the test: %v", err)
		}
	})
}

func (b *Books) ring(bells []tasks.Bell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = append(b.due, bells...)
}

// Accept accepts requests and returns their receipts.
func (b *Books) Accept(t testing.TB, payloads ...tasks.Payload) []tasks.Receipt {
	t.Helper()
	return accept(t, b.Client, payloads)
}

// Hear accepts what a channel has said and returns the receipts.
func (b *Books) Hear(t testing.TB, payloads ...tasks.Payload) []tasks.Receipt {
	t.Helper()
	return accept(t, b.Client.FromChannel(), payloads)
}

func accept(t testing.TB, client *tasks.Client, payloads []tasks.Payload) []tasks.Receipt {
	t.Helper()
	items, err := client.EnqueueMany(t.Context(), payloads)
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	receipts := make([]tasks.Receipt, len(items))
	for i, item := range items {
		if item.Err != nil {
			t.Fatalf("accept %s: %v", payloads[i].Kind(), item.Err)
		}
		receipts[i] = item.Receipt
	}
	return receipts
}

// Do accepts requests, applies each in turn, and returns their answers. What they make due is left to Settle.
func (b *Books) Do(t testing.TB, payloads ...tasks.Payload) []ledger.Answer {
	t.Helper()
	answers := make([]ledger.Answer, 0, len(payloads))
	for _, receipt := range b.Accept(t, payloads...) {
		answers = append(answers, b.Apply(t, receipt)...)
	}
	return answers
}

// Apply applies accepted requests, those of one book together.
func (b *Books) Apply(t testing.TB, receipts ...tasks.Receipt) []ledger.Answer {
	t.Helper()
	answers := make([]ledger.Answer, len(receipts))
	byBook := map[int][]int{}
	for i, receipt := range receipts {
		byBook[receipt.Book] = append(byBook[receipt.Book], i)
	}
	for book, places := range byBook {
		ids := make([]uuid.UUID, len(places))
		for n, i := range places {
			ids[n] = receipts[i].ID
		}
		got, err := b.Ledger.Apply(t.Context(), book, ids...)
		if err != nil {
			t.Fatalf("apply %d requests of book %d: %v", len(ids), book, err)
		}
		for n, i := range places {
			answers[i] = got[n]
		}
	}
	return answers
}

// Settle applies what batches made due, and what that makes due, until nothing is.
func (b *Books) Settle(t testing.TB) {
	t.Helper()
	for {
		b.mu.Lock()
		due := b.due
		b.due = nil
		b.mu.Unlock()
		if len(due) == 0 {
			return
		}
		for _, bell := range due {
			if _, err := b.Ledger.Apply(t.Context(), bell.Book, bell.ID); err != nil {
				t.Fatalf("apply %s: %v", bell.Kind, err)
			}
		}
	}
}

// Applied fails the test unless each answer is an applied outcome.
func Applied(t testing.TB, answers ...ledger.Answer) {
	t.Helper()
	for i, answer := range answers {
		if answer.Fate != ledger.Decided || answer.Outcome.Result != tasks.Applied {
			t.Fatalf("answer %d is %+v, want applied", i, answer)
		}
	}
}

// RejectedFor fails the test unless the answer is a rejection for the reason.
func RejectedFor(t testing.TB, answer ledger.Answer, reason tasks.Reason) {
	t.Helper()
	if answer.Fate != ledger.Decided || answer.Outcome.Result != tasks.Rejected || answer.Outcome.Reason != reason {
		t.Fatalf("answer is %+v, want rejected for %s", answer, reason)
	}
}

// Balance is what an account holds, zero when it does not exist. It sums over all books.
func (b *Books) Balance(t testing.TB, name ledger.AccountName) money.Amount {
	t.Helper()
	var fen int64
	err := b.DB.Pool.QueryRow(t.Context(), "SELECT coalesce(sum(balance_fen), 0)::bigint FROM accounts WHERE name = $1", string(name)).Scan(&fen)
	if err != nil {
		t.Fatalf("read balance of %s: %v", name, err)
	}
	return money.FromFen(fen)
}

// Expect fails the test unless the account holds the yuan amount.
func (b *Books) Expect(t testing.TB, name ledger.AccountName, yuan string) {
	t.Helper()
	if got := b.Balance(t, name); got.String() != yuan {
		t.Errorf("%s holds %s, want %s", name, got, yuan)
	}
}

// Yuan parses an amount that the test wrote.
func Yuan(s string) money.Amount {
	amount, err := money.Parse(s)
	if err != nil {
		panic(err)
	}
	return amount
}

// Noon is when the requests of tests occur unless they say otherwise: in the middle of a Shanghai day.
var Noon = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)

// Recharge is a confirmed recharge by WeChat Pay whose transaction is named after it.
func Recharge(id, user, yuan string) *tasks.Recharge {
	return &tasks.Recharge{RechargeID: id, UserID: user, Channel: tasks.SourceWeChat, ChannelTxnID: "wx-" + id, Amount: Yuan(yuan),
		OccurredAt: Noon}
}

// Payment is a payment to merchant m1 from the legs given.
func Payment(order, user string, legs ...tasks.Leg) *tasks.Payment {
	return &tasks.Payment{OrderID: order, UserID: user, MerchantID: "m1", Legs: legs, OccurredAt: Noon}
}

// Leg is a leg of a payment.
func Leg(source tasks.Source, yuan string) tasks.Leg {
	return tasks.Leg{Source: source, Amount: Yuan(yuan)}
}

// Refund is a refund of an order to where its money came from.
func Refund(id, order, user, yuan string) *tasks.Refund {
	return &tasks.Refund{RefundID: id, OrderID: order, UserID: user, Amount: Yuan(yuan), OccurredAt: Noon}
}

// Reward is a reward of campaign c1.
func Reward(id, user, yuan string) *tasks.Reward {
	return &tasks.Reward{RewardID: id, UserID: user, CampaignID: "c1", Amount: Yuan(yuan), OccurredAt: Noon}
}

// Transfer sends cash from one user to another.
func Transfer(id, from, to, yuan string) *tasks.Transfer {
	return &tasks.Transfer{TransferID: id, FromUserID: from, ToUserID: to, Amount: Yuan(yuan), OccurredAt: Noon}
}

// Enrolment enrols a user in xiaojinku.
func Enrolment(id, user, keep string) *tasks.Enrolment {
	return &tasks.Enrolment{EnrolmentID: id, UserID: user, ProductID: "xiaojinku", KeepAmount: Yuan(keep), ConsentVersion: "2026-01",
		OccurredAt: Noon}
}
