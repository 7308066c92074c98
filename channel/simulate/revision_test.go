package simulate_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// revisedEntry is what the record has of a refund of 30.00, taken and failed at noon, and paid a minute later.
func revisedEntry(t *testing.T, refund simulate.Refund, paid simulate.Receipt) simulate.Entry {
	t.Helper()
	return simulate.Entry{Kind: simulate.EntryRefund, Channel: tasks.SourceWeChat, OutTradeNo: paid.OutTradeNo, ChannelTxnID: paid.ChannelTxnID,
		RefundNumber: refund.Number, ChannelRefundID: refund.ChannelRefundID, Amount: yuan(t, "30.00"), State: channel.RefundSucceeded,
		Reason: refund.Reason, At: noon, FailedAt: noon, EndedAt: noon.Add(time.Minute), Notice: simulate.NoticeAcknowledged,
		FailureNotice: simulate.NoticeAcknowledged, Deliveries: 2}
}

// heardEnds answers the notices of a failure and of the payment after it, and returns what they told.
func (s *street) heardEnds(t *testing.T, between func()) (ends [2]channel.RefundAnswer) {
	t.Helper()
	for i := range ends {
		h := s.merchant.next(t)
		ends[i] = h.Refund
		h.answer <- http.StatusOK
		if i == 0 {
			between()
		}
	}
	return ends
}

func TestRevisedRefundFailsAndIsPaidAfterAll(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.RevisedRefunds, c.RefundTime, c.TimeScale = 1000, time.Hour, 60 })
	s.plain.tellsFailures = true
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	failed, _, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "30.00"))
	if err != nil || failed.State != channel.RefundFailed || failed.Reason == "" || !failed.EndedAt.Equal(noon) || !failed.RefundedTotal.IsZero() {
		t.Errorf("%+v, %v", failed, err)
	}
	if e := s.entry(t, "rf1", simulate.NoticeWaiting); e.State != channel.RefundFailed || !e.FailedAt.IsZero() || e.FailureNotice == "" {
		t.Errorf("before it is paid the record has %+v", e)
	}
	if _, _, err := s.desk.Refund("rf2", paid.ChannelTxnID, "", yuan(t, "70.01")); !errors.Is(err, simulate.ErrTooMuch) {
		t.Errorf("the money that is to be paid can be refunded again: %v", err)
	}
	got := s.heardEnds(t, func() {
		if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(time.Minute)
	})
	if diff := cmp.Diff([2]channel.RefundAnswer{{State: channel.RefundFailed, Reason: failed.Reason, EndedAt: noon},
		{State: channel.RefundSucceeded, EndedAt: noon.Add(time.Minute)}}, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(revisedEntry(t, failed, paid), s.entry(t, "rf1", simulate.NoticeAcknowledged)); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	again, _, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "30.00"))
	if err != nil || again.State != channel.RefundSucceeded || again.Reason != "" || again.RefundedTotal != yuan(t, "30.00") {
		t.Errorf("asked again: %+v, %v", again, err)
	}
}

// The failure is told as a failure however late its notice is.
func TestNoticeOfAFailureSaysSoAfterTheRefundIsPaid(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.RevisedRefunds, c.RefundTime = 1000, time.Second })
	s.plain.tellsFailures = true
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	if _, _, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "30.00")); err != nil {
		t.Fatal(err)
	}
	s.merchant.next(t).answer <- http.StatusServiceUnavailable
	if err := s.clock.WaitForTimers(t.Context(), 2); err != nil { // the failure's next delivery, and the payment
		t.Fatal(err)
	}
	s.clock.Advance(time.Second)
	success := s.merchant.next(t)
	success.answer <- http.StatusOK
	s.entry(t, "rf1", simulate.NoticeAcknowledged)
	s.clock.Advance(time.Minute)
	late := s.merchant.next(t)
	late.answer <- http.StatusOK
	if success.Refund.State != channel.RefundSucceeded || late.Refund.State != channel.RefundFailed || !late.Refund.EndedAt.Equal(noon) {
		t.Errorf("told %+v, then %+v", success.Refund, late.Refund)
	}
}

func TestFailedRefundIsPaidOnRequestAndThatSurvivesACrash(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.FailedRefunds = 1000 })
	s.plain.tellsFailures = true
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	failed, _, err := s.desk.Refund("rf1", paid.ChannelTxnID, "", yuan(t, "30.00"))
	if err != nil {
		t.Fatal(err)
	}
	got := s.heardEnds(t, func() {
		s.entry(t, "rf1", simulate.NoticeAcknowledged)
		s.clock.Advance(time.Minute)
		for range 2 { // the second changes nothing
			response, err := http.Post(server.URL+"/revise", "application/json", strings.NewReader(`{"channel":"wechat","refund_number":"rf1"}`))
			if err != nil || response.StatusCode != http.StatusOK || response.Body.Close() != nil {
				t.Fatalf("%+v, %v", response, err)
			}
		}
	})
	if got[0].State != channel.RefundFailed || got[1].State != channel.RefundSucceeded {
		t.Errorf("told %+v", got)
	}
	want := revisedEntry(t, failed, paid)
	if diff := cmp.Diff(want, s.entry(t, "rf1", simulate.NoticeAcknowledged)); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if journal, err := os.ReadFile(journalOf(s.dir)); err != nil || strings.Count(string(journal), `"revised":{`) != 1 {
		t.Errorf("journal, %v:\n%s", err, journal)
	}
	other := openStreet(t, newMerchant(t), clock.NewManual(noon.Add(time.Hour)), s.crashed(t), nil)
	want.Deliveries = 0
	if diff := cmp.Diff(want, other.entry(t, "rf1", simulate.NoticeAcknowledged)); diff != "" {
		t.Errorf("record after a crash (-want +got):\n%s", diff)
	}
}

func TestOnlyAFailureWhoseMoneyIsThereIsPaidOnRequest(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.FailedRefunds = 1000 })
	paid := s.pay(t, simulate.Order{OutTradeNo: "o1", Amount: yuan(t, "100.00"), NotifyURL: "none"})
	take := func(number, amount string) {
		t.Helper()
		if _, _, err := s.desk.Refund(number, paid.ChannelTxnID, "", yuan(t, amount)); err != nil {
			t.Fatal(err)
		}
	}
	take("failed", "60.00")
	take("large", "60.01")
	if err := s.SetFaults(simulate.Faults{}); err != nil {
		t.Fatal(err)
	}
	take("paid", "40.00")
	s.merchant.next(t).answer <- http.StatusOK
	for number, want := range map[string]error{"paid": simulate.ErrNotFailed, "large": simulate.ErrTooMuch, "failed": nil} {
		if e, err := s.Revise(tasks.SourceWeChat, number); !errors.Is(err, want) || (err == nil) != (e.State == channel.RefundSucceeded) {
			t.Errorf("%s: %+v, %v; want %v", number, e, err, want)
		}
	}
	s.merchant.next(t).answer <- http.StatusOK
	var bad *tasks.FieldError
	if _, err := s.Revise(tasks.SourceWeChat, "nobody's"); !errors.As(err, &bad) || bad.Field != "refund_number" {
		t.Errorf("nobody's: %v", err)
	}
	if _, err := s.Revise(tasks.SourceAlipay, "failed"); !errors.As(err, &bad) || bad.Field != "channel" {
		t.Errorf("another channel: %v", err)
	}
}
