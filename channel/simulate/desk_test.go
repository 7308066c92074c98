package simulate_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

func TestRefundsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	other := s.pay(t, simulate.Order{OutTradeNo: "o2", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	first, _, err := s.desk.Refund("rf1", "", "o1", yuan(t, "60.00"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (simulate.Refund{Number: "rf1", ChannelRefundID: first.ChannelRefundID, Amount: yuan(t, "60.00"), RefundedTotal: yuan(t, "60.00"),
		State: channel.RefundSucceeded, AcceptedAt: noon, EndedAt: noon, Payment: simulate.Payment{OutTradeNo: "o1",
			ChannelTxnID: paid.ChannelTxnID, Amount: yuan(t, "100.00"), PaidAt: noon}}); first != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, first))
	}
	for name, c := range map[string]struct {
		number, txnID string
		amount        money.Amount
		want          error
	}{
		"again":                 {"rf1", paid.ChannelTxnID, yuan(t, "60.00"), nil},
		"the rest":              {"rf2", paid.ChannelTxnID, yuan(t, "40.00"), nil},
		"with another amount":   {"rf1", paid.ChannelTxnID, yuan(t, "60.01"), simulate.ErrNumberTaken},
		"of another payment":    {"rf1", other.ChannelTxnID, yuan(t, "60.00"), simulate.ErrNumberTaken},
		"more than was paid":    {"rf3", other.ChannelTxnID, yuan(t, "100.01"), simulate.ErrTooMuch},
		"nothing":               {"rf3", other.ChannelTxnID, money.Amount{}, simulate.ErrTooMuch},
		"less than nothing":     {"rf3", other.ChannelTxnID, yuan(t, "1.00").Neg(), simulate.ErrTooMuch},
		"of what nobody paid":   {"rf3", "4200", yuan(t, "1.00"), simulate.ErrUnknownPayment},
		"known, of nobody's":    {"rf1", "4200", yuan(t, "60.00"), simulate.ErrUnknownPayment},
		"all of it, at once":    {"rf4", other.ChannelTxnID, yuan(t, "100.00"), nil},
		"all of it, once again": {"rf4", other.ChannelTxnID, yuan(t, "100.00"), nil},
	} {
		if _, _, err := s.desk.Refund(c.number, c.txnID, "", c.amount); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, _, err := s.desk.Refund("rf9", paid.ChannelTxnID, "", yuan(t, "0.01")); !errors.Is(err, simulate.ErrTooMuch) {
		t.Errorf("a fen of a payment that is refunded: %v", err)
	}
	if _, known := s.desk.Refunded("rf3"); known {
		t.Error("a refund that was refused is known")
	}
}

func TestSlowRefundEndsLaterAndIsToldThen(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) {
		c.Faults.SlowRefunds, c.RefundTime, c.TimeScale = 1000, time.Hour, 60
	})
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	if r, _, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "30.00")); err != nil || r.State != channel.RefundProcessing ||
		!r.EndedAt.IsZero() || !r.RefundedTotal.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Minute)
	want := channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: noon.Add(time.Minute)}
	if r, known := s.desk.Refunded("rf1"); !known || r.State != want.State || !r.EndedAt.Equal(want.EndedAt) {
		t.Errorf("%+v", r)
	}
	h := s.merchant.next(t)
	if h.RefundNumber != "rf1" || h.Refund != want || h.Amount != yuan(t, "30.00") || h.RefundedTotal != yuan(t, "30.00") {
		t.Errorf("notice %+v", h.Notice)
	}
	h.answer <- 200
	if e := s.entry(t, "rf1", simulate.NoticeAcknowledged); e.State != channel.RefundSucceeded || !e.EndedAt.Equal(want.EndedAt) {
		t.Errorf("%+v", e)
	}
}

func TestFailedRefundLeavesItsMoneyWithThePayment(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.FailedRefunds = 1000 })
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	for _, number := range []string{"rf1", "rf2"} {
		r, _, err := s.desk.Refund(number, paid.ChannelTxnID, "", yuan(t, "100.00"))
		if err != nil || r.State != channel.RefundFailed || r.Reason == "" || !r.RefundedTotal.IsZero() {
			t.Errorf("%s: %+v, %v", number, r, err)
		}
	}
	s.entry(t, "rf1", simulate.NoticeNone) // this channel tells nobody of failures
	if err := s.SetFaults(simulate.Faults{}); err != nil {
		t.Fatal(err)
	}
	if r, _, err := s.desk.Refund("rf3", paid.ChannelTxnID, "", yuan(t, "100.00")); err != nil || r.State != channel.RefundSucceeded {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLostAnswerIsLostOnce(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.LostAnswers = 1000 })
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	for _, want := range []error{http.ErrAbortHandler, nil} {
		if r, drop, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "1.00")); err != nil || drop != want || r.Number != "rf1" {
			t.Errorf("drop %v, %v; want %v", drop, err, want)
		}
	}
	if _, drop, err := s.desk.Refund("rf2", paid.ChannelTxnID, "", yuan(t, "100.00")); !errors.Is(err, simulate.ErrTooMuch) || drop != nil {
		t.Errorf("a refusal: drop %v, %v", drop, err)
	}
}

func TestAnswerThatHangsIsKeptBackOnce(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.HangingAnswers = 1000 })
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	for _, want := range []error{simulate.ErrHanging, nil} {
		if r, drop, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "1.00")); err != nil || drop != want || r.Number != "rf1" {
			t.Errorf("drop %v, %v; want %v", drop, err, want)
		}
	}
}

// S2 and S3: whatever is asked in whatever order, the refunds fit the payment, and one that has ended never tells another end, but that a
// failure may be paid after all.
func TestRefundsFitAndNeverChangeTheirEnd(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) {
		c.Faults = simulate.Faults{SlowRefunds: 500, FailedRefunds: 300, RevisedRefunds: 200, LostAnswers: 300}
	})
	go func() { // the notices of refunds are nobody's concern here
		for h := range s.merchant.heard {
			h.answer <- 200
		}
	}()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		order := fmt.Sprintf("o%d", round)
		total := money.FromFen(rapid.Int64Range(1, 1000).Draw(rt, "paid"))
		paid := s.pay(t, simulate.Order{OutTradeNo: order, Amount: total, NotifyURL: "none"})
		ended := map[string]simulate.Refund{}
		for i := range rapid.IntRange(1, 20).Draw(rt, "steps") {
			s.clock.Advance(time.Duration(rapid.Int64Range(0, int64(4*time.Minute)).Draw(rt, "time")))
			number := fmt.Sprintf("%s-%d", order, rapid.IntRange(0, i).Draw(rt, "number"))
			amount := money.FromFen(rapid.Int64Range(1, 600).Draw(rt, "amount"))
			_, _, err := s.desk.Refund(number, paid.ChannelTxnID, "", amount)
			if err != nil && !errors.Is(err, simulate.ErrTooMuch) && !errors.Is(err, simulate.ErrNumberTaken) {
				rt.Fatal(err)
			}
			held := money.Amount{}
			revised := map[string]bool{}
			for _, e := range s.Record() {
				revised[e.RefundNumber] = e.FailureNotice != ""
			}
			for n := range i + 1 {
				r, known := s.desk.Refunded(fmt.Sprintf("%s-%d", order, n))
				paidAfterAll := revised[r.Number] && r.State == channel.RefundSucceeded
				if before, has := ended[r.Number]; has && before != r && (!paidAfterAll || before.State != channel.RefundFailed) {
					rt.Fatalf("%s has changed (-before +after):\n%s", r.Number, cmp.Diff(before, r))
				}
				if known && r.State != channel.RefundProcessing {
					ended[r.Number] = r
				}
				if known && (r.State != channel.RefundFailed || revised[r.Number]) {
					held = held.Add(r.Amount)
				}
				if r.RefundedTotal.Cmp(total) > 0 {
					rt.Fatalf("%s of the payment's %s are refunded", r.RefundedTotal, total)
				}
			}
			if held.Cmp(total) > 0 {
				rt.Fatalf("%s of %s are refunded", held, total)
			}
			if errors.Is(err, simulate.ErrTooMuch) && held.Add(amount).Cmp(total) <= 0 {
				rt.Fatalf("%s was refused although only %s of %s are refunded", amount, held, total)
			}
		}
	})
}
