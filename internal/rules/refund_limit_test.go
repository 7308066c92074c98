package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

func limited(t *testing.T, limit tasks.RefundLimit) *ledgertest.Books {
	t.Helper()
	b := ledgertest.Open(t)
	policy := tasks.DefaultPolicy()
	policy.RefundLimits[tasks.SourceWeChat] = limit
	if _, err := ledger.SetPolicy(t.Context(), b.DB.Pool, policy, "ada"); err != nil {
		t.Fatal(err)
	}
	ledgertest.Applied(t, b.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "100.00")))...)
	return b
}

func count(t *testing.T, b *ledgertest.Books, sql string) int {
	t.Helper()
	var n int
	if err := b.DB.Pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func consenting(id, yuan string) *tasks.Refund {
	p := ledgertest.Refund(id, "o1", "u1", yuan)
	p.IfRefused = tasks.FallBackToBalance
	return p
}

// foreseen is what a preview would tell now.
func foreseen(t *testing.T, b *ledgertest.Books, p *tasks.Refund) string {
	t.Helper()
	record, err := b.Reader.Order(t.Context(), p.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	return refund.Foresee(&record.Order, refund.PaymentAwaited, p, &record.Policy, record.ReadAt).Plan.String()
}

func TestChannelIsAskedForFiftyRefundsOfAnOrderAndForNoMore(t *testing.T) {
	t.Parallel()
	b := limited(t, tasks.DefaultPolicy().RefundLimits[tasks.SourceWeChat])
	var receipts []tasks.Receipt
	for i := range 49 { // together: one batch counts its own
		receipts = append(receipts, b.Accept(t, ledgertest.Refund(fmt.Sprint("f", i), "o1", "u1", "1.00"))...)
	}
	ledgertest.Applied(t, b.Apply(t, receipts...)...)
	both := b.Accept(t, ledgertest.Refund("f49", "o1", "u1", "1.00"), ledgertest.Refund("f50", "o1", "u1", "1.00"))
	ledgertest.Applied(t, b.Apply(t, both...)...)
	if n := count(t, b, "SELECT count(*) FROM requests WHERE kind = 'refund:send'"); n != 50 {
		t.Errorf("the channel is asked for %d refunds, want 50", n)
	}
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "51.00")
	if n := count(t, b, "SELECT count(*) FROM cases WHERE kind = 'unreturnable_refund' AND amount_fen = 100"); n != 1 {
		t.Errorf("%d cases, want 1", n)
	}
	asked := consenting("f51", "2.00")
	told := foreseen(t, b, asked)
	answers := b.Do(t, asked, asked)
	ledgertest.Applied(t, answers...)
	if !strings.Contains(told, "50 refunds") || answers[0].Outcome.Detail != told || !answers[1].Replay {
		t.Errorf("foreseen %q, became %+v", told, answers)
	}
	b.Expect(t, ledger.UserCash("u1"), "2.00")
}

func TestOrderOfThreeHundredSixtySixDaysIsNotRefundedThroughItsChannel(t *testing.T) {
	t.Parallel()
	b := limited(t, tasks.RefundLimit{DaysMax: 365})
	move := func(days int) {
		t.Helper()
		if _, err := b.DB.Owner.Exec(t.Context(), "ALTER TABLE orders DISABLE TRIGGER USER"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE orders SET captured_at = clock_timestamp() - $1 * interval '1 day'", days); err != nil {
			t.Fatal(err)
		}
	}
	move(364)
	ledgertest.Applied(t, b.Do(t, ledgertest.Refund("f1", "o1", "u1", "1.00"))...)
	if n := count(t, b, "SELECT count(*) FROM cases"); n != 0 {
		t.Errorf("%d cases within the year", n)
	}
	move(366)
	for _, p := range []*tasks.Refund{ledgertest.Refund("f2", "o1", "u1", "2.00"), consenting("f3", "3.00")} {
		told := foreseen(t, b, p)
		answers := b.Do(t, p)
		ledgertest.Applied(t, answers...)
		if !strings.Contains(told, "365 days") || answers[0].Outcome.Detail != told {
			t.Errorf("foreseen %q, became %+v", told, answers[0])
		}
	}
	if n := count(t, b, "SELECT count(*) FROM requests WHERE kind = 'refund:send'"); n != 1 {
		t.Errorf("the channel is asked for %d refunds, want 1", n)
	}
	b.Expect(t, ledger.UserCash("u1"), "3.00")
	cases, _, err := b.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true, Kind: ledger.UnreturnableRefund}, ledger.CasePosition{}, 10)
	if err != nil || len(cases) != 1 || cases[0].Opened.Key != "f2" {
		t.Fatalf("open cases %+v, %v", cases, err)
	}
	id := cases[0].ID
	ledgertest.RejectedFor(t, b.Do(t, &tasks.CaseReturn{CaseID: id, By: "ada", Note: "try"})[0], tasks.CaseHasNoPayment)
	ledgertest.Applied(t, b.Do(t, &tasks.CaseCredit{CaseID: id, UserID: "u1", By: "ada", Note: "she agrees"})...)
	b.Expect(t, ledger.UserCash("u1"), "5.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "1.00")
}

// A number that the channel is sure to refuse would be dead, and the case closed by which the money could have gone to its user.
func TestFailedRefundIsNotSentAgainBeyondItsChannelsLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit tasks.RefundLimit
		days  int
		sent  bool
	}{
		"too old":                  {tasks.RefundLimit{DaysMax: 365}, 366, false},
		"asked too often":          {tasks.RefundLimit{RefundsMax: 1}, 0, false},
		"of the last day, asked":   {tasks.RefundLimit{DaysMax: 365, RefundsMax: 2}, 364, true},
		"of a channel of no limit": {tasks.RefundLimit{}, 9999, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := limited(t, c.limit)
			ledgertest.Applied(t, b.Do(t, ledgertest.Refund("f1", "o1", "u1", "6.00"))...)
			ledgertest.Applied(t, b.Do(t, &tasks.RefundResult{Number: refund.Number("f1", 0), RefundID: "f1", UserID: "u1",
				Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("6.00"), Result: tasks.RefundFailed, Reason: "CLOSED",
				OccurredAt: ledgertest.Noon})...)
			if _, err := b.DB.Owner.Exec(t.Context(), "ALTER TABLE orders DISABLE TRIGGER USER"); err != nil {
				t.Fatal(err)
			}
			if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE orders SET captured_at = clock_timestamp() - $1 * interval '1 day'", c.days); err != nil {
				t.Fatal(err)
			}
			cases, _, err := b.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true, Kind: ledger.FailedRefund}, ledger.CasePosition{}, 10)
			if err != nil || len(cases) != 1 {
				t.Fatalf("open cases %+v, %v", cases, err)
			}
			answer := b.Do(t, &tasks.CaseReturn{CaseID: cases[0].ID, By: "ada", Note: "again"})[0]
			if c.sent {
				ledgertest.Applied(t, answer)
				return
			}
			ledgertest.RejectedFor(t, answer, tasks.ChannelLimit)
			ledgertest.Applied(t, b.Do(t, &tasks.CaseCredit{CaseID: cases[0].ID, UserID: "u1", By: "ada", Note: "she agrees"})...)
			b.Expect(t, ledger.UserCash("u1"), "6.00")
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
		})
	}
}

func TestTwoWorkersCreditAConsentedFailureOnce(t *testing.T) {
	t.Parallel()
	b := limited(t, tasks.RefundLimit{})
	second, err := ledger.Open(t.Context(), b.DB.Pool, ledger.Config{Rules: rules.All()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Close)
	ledgertest.Applied(t, b.Do(t, consenting("f1", "6.00"))...)
	if n := count(t, b, "SELECT count(*) FROM requests WHERE kind = 'refund:send' AND payload ->> 'consented' = 'true'"); n != 1 {
		t.Fatalf("%d orders to the channel carry the consent, want 1", n)
	}
	failed := &tasks.RefundResult{Number: refund.Number("f1", 0), RefundID: "f1", UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("6.00"), Result: tasks.RefundFailed, Consented: true, Reason: "card void", OccurredAt: ledgertest.Noon}
	receipt := b.Accept(t, failed)[0]
	errs := make(chan error, 2)
	for _, worker := range []*ledger.Ledger{b.Ledger, second} {
		go func() {
			_, err := worker.Apply(t.Context(), receipt.Book, receipt.ID)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.Expect(t, ledger.UserCash("u1"), "6.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
}
