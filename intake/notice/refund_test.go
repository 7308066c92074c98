package notice_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

const (
	refunding = ledger.AccountName("channel/wechat/refunding")
	clearing  = ledger.AccountName("channel/wechat/clearing")
)

// sent has 30.00 of an order of 100.00 sent back to WeChat Pay, and returns what was sent.
func (d *door) sent(t *testing.T) tasks.RefundOrder {
	t.Helper()
	payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "100.00"))
	payment.Legs[0].ChannelTxnID = "t1"
	ledgertest.Applied(t, d.Do(t, payment, ledgertest.Refund("rf1", "o1", "u1", "30.00"))...)
	d.Expect(t, refunding, "30.00")
	return tasks.RefundOrder{Number: refund.Number("rf1", 0), RefundID: "rf1", OrderID: "o1", UserID: "u1", Channel: tasks.SourceWeChat,
		ChannelTxnID: "t1", Captured: ledgertest.Yuan("100.00"), Amount: ledgertest.Yuan("30.00"), OccurredAt: ledgertest.Noon}
}

var (
	succeeded = channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: ledgertest.Noon.Add(time.Hour)}
	abnormal  = channel.RefundAnswer{State: channel.RefundFailed, Reason: "ABNORMAL"}
)

// ended is the notice of a refund's end.
func ended(order tasks.RefundOrder, answer channel.RefundAnswer) channel.Notice {
	return channel.Notice{Channel: order.Channel, Event: channel.EventRefund, OutTradeNo: order.OrderID, ChannelTxnID: order.ChannelTxnID,
		Amount: order.Amount, OccurredAt: ledgertest.Noon.Add(2 * time.Hour), RefundNumber: order.Number, Refund: answer}
}

// query accepts a channel's answer as a worker does that has asked.
func (d *door) query(t *testing.T, order tasks.RefundOrder, answer channel.RefundAnswer) {
	t.Helper()
	result, final := channel.Result(order, answer)
	if !final {
		t.Fatalf("%+v is not final", answer)
	}
	if _, err := channel.Accept(t.Context(), d.Client, result); err != nil && !errors.As(err, new(*tasks.ConflictError)) {
		t.Fatal(err)
	}
}

func TestEndOfARefundIsBooked(t *testing.T) {
	t.Parallel()
	d := open(t)
	order := d.sent(t)
	d.done(t, ended(order, succeeded))
	d.expectCounted(t, map[string]int{"answered": 1})
	d.expect(t, map[ledger.AccountName]string{refunding: "0.00", clearing: "-70.00"})
}

// Alipay tells what was refunded of the payment in all; the bank of e-CNY does not tell of which payment.
func TestEndOfARefundIsBookedThoughTheChannelTellsLessOfIt(t *testing.T) {
	t.Parallel()
	for name, tellLess := range map[string]func(*channel.Notice){
		"the total alone": func(n *channel.Notice) { n.Amount, n.RefundedTotal = ledgertest.Yuan("0"), ledgertest.Yuan("30.00") },
		"a larger total":  func(n *channel.Notice) { n.Amount, n.RefundedTotal = ledgertest.Yuan("0"), ledgertest.Yuan("99.00") },
		"no payment":      func(n *channel.Notice) { n.ChannelTxnID, n.OutTradeNo = "", "" },
		"another order":   func(n *channel.Notice) { n.OutTradeNo = "o2" },
		"no time of its":  func(n *channel.Notice) { n.OccurredAt = time.Time{} },
	} {
		d := open(t)
		n := ended(d.sent(t), succeeded)
		tellLess(&n)
		if !d.tell(t, n) {
			t.Errorf("%s: not acknowledged", name)
		}
		d.expect(t, map[ledger.AccountName]string{refunding: "0.00", clearing: "-70.00"})
	}
}

// Of a notice of success, one of failure and the worker's query that success is booked, in every order.
func TestEndsOfARefundConvergeInEveryOrder(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			d := open(t)
			sent := d.sent(t)
			tell := []func(){
				func() { d.done(t, ended(sent, succeeded)) },
				func() { d.done(t, ended(sent, abnormal)) },
				func() { d.query(t, sent, succeeded) },
			}
			for _, i := range order {
				tell[i]()
				d.settle(t)
			}
			contradictions, counted := 1, map[string]int{"contradicted": 1, "answered": 1}
			switch {
			case order[0] == 1: // each success conflicts with the failure; the first one revises it
				contradictions, counted = 2, map[string]int{"answered": 1, "revised": 1}
				if order[1] == 2 {
					counted = map[string]int{"answered": 1, "replayed": 1}
				}
			case order[0] == 2:
				counted = map[string]int{"contradicted": 1, "replayed": 1}
			}
			d.expectCounted(t, counted)
			d.expect(t, map[ledger.AccountName]string{refunding: "0.00", clearing: "-70.00"})
			if n := d.count(t, "SELECT count(*) FROM conflicts"); n != contradictions {
				t.Errorf("%d contradictions are recorded, want %d", n, contradictions)
			}
			if n := len(d.cases(t)); n > 1 || (n == 1) != (order[0] == 1) {
				t.Errorf("%d cases are open", n)
			}
		})
	}
}

// R7, at once: copies of a success after a failure, told and asked for, move the money once.
func TestSuccessAfterAFailureIsBookedOnceHoweverOftenItIsTold(t *testing.T) {
	t.Parallel()
	d := open(t)
	sent := d.sent(t)
	d.done(t, ended(sent, abnormal))
	d.settle(t)
	var running sync.WaitGroup
	for i := range 12 {
		running.Go(func() {
			if i%4 == 0 {
				d.query(t, sent, succeeded)
			} else if !d.tell(t, ended(sent, succeeded)) {
				t.Error("not acknowledged")
			}
		})
	}
	running.Wait()
	d.settle(t)
	d.done(t, ended(sent, succeeded)) // and once more
	d.settle(t)
	d.expect(t, map[ledger.AccountName]string{refunding: "0.00", clearing: "-70.00"})
	if n := d.count(t, "SELECT count(*) FROM requests WHERE kind = 'refund:revise'"); n != 1 {
		t.Errorf("%d revisions are stored, want 1", n)
	}
}

// A door that ended after the conflict was recorded and before the revision was accepted has not acknowledged the notice.
func TestSuccessAfterAFailureIsAcceptedByTheNextDeliveryIfTheFirstWasCutShort(t *testing.T) {
	t.Parallel()
	d := open(t)
	sent := d.sent(t)
	d.done(t, ended(sent, abnormal))
	d.settle(t)
	result, _ := channel.Result(sent, succeeded)
	if _, err := d.Client.Enqueue(t.Context(), result); !errors.As(err, new(*tasks.ConflictError)) {
		t.Fatalf("the success is accepted as an answer: %v", err)
	}
	d.expect(t, map[ledger.AccountName]string{refunding: "30.00"})
	d.restart()
	d.done(t, ended(sent, succeeded))
	d.settle(t)
	d.expectCounted(t, map[string]int{"revised": 1})
	d.expect(t, map[ledger.AccountName]string{refunding: "0.00", clearing: "-70.00"})
}

// A second success of another time is not the one that was booked.
func TestSuccessOfAnotherTimeAfterARevisionIsAContradiction(t *testing.T) {
	t.Parallel()
	d := open(t)
	sent := d.sent(t)
	later := succeeded
	later.EndedAt = later.EndedAt.Add(time.Minute)
	for _, answer := range []channel.RefundAnswer{abnormal, succeeded, later} {
		d.done(t, ended(sent, answer))
		d.settle(t)
	}
	d.expectCounted(t, map[string]int{"answered": 1, "revised": 1, "contradicted": 1})
	d.expect(t, map[ledger.AccountName]string{refunding: "0.00", clearing: "-70.00"})
}

func TestEndOfARefundIsBookedOnceHoweverOftenItIsTold(t *testing.T) {
	t.Parallel()
	for _, end := range []channel.RefundAnswer{succeeded, abnormal} {
		d := open(t)
		sent := d.sent(t)
		var running sync.WaitGroup
		for i := range 30 {
			running.Go(func() {
				if i%3 == 0 {
					d.query(t, sent, end)
				} else if !d.tell(t, ended(sent, end)) {
					t.Error("not acknowledged")
				}
			})
		}
		running.Wait()
		d.settle(t)
		if n := d.count(t, "SELECT count(*) FROM requests WHERE kind = 'refund:answer'"); n != 1 || d.count(t, "SELECT count(*) FROM conflicts") != 0 {
			t.Errorf("%s: %d answers are stored", end.State, n)
		}
	}
}

func TestRefundUnderWayIsAcknowledgedAndNotStored(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.done(t, ended(d.sent(t), channel.RefundAnswer{State: channel.RefundProcessing}))
	d.expectCounted(t, map[string]int{"acknowledged": 1})
	d.expect(t, map[ledger.AccountName]string{refunding: "30.00"})
}

// A notice may be faster than the request that it answers, and one that is not ours must not be taken for one that is.
func TestRefundThatWasNotSentLikeThisIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	sent := d.sent(t)
	for name, c := range map[string]struct {
		change func(*channel.Notice)
		result string
	}{
		"another number":  {func(n *channel.Notice) { n.RefundNumber = refund.Number("rf1", 1) }, "unknown_refund"},
		"no number":       {func(n *channel.Notice) { n.RefundNumber = "" }, "unknown_refund"},
		"a wild number":   {func(n *channel.Notice) { n.RefundNumber = "\x00\xff" }, "unknown_refund"},
		"another amount":  {func(n *channel.Notice) { n.Amount = ledgertest.Yuan("30.01") }, "other_refund"},
		"another payment": {func(n *channel.Notice) { n.ChannelTxnID = "t2" }, "other_refund"},
		"a small total": {func(n *channel.Notice) {
			n.Amount, n.RefundedTotal = ledgertest.Yuan("0"), ledgertest.Yuan("29.99")
		}, "other_refund"},
		"no amount":       {func(n *channel.Notice) { n.Amount = ledgertest.Yuan("0") }, "other_refund"},
		"another channel": {func(n *channel.Notice) { n.Channel = tasks.SourceAlipay }, "other_refund"},
	} {
		d.restart()
		n := ended(sent, succeeded)
		c.change(&n)
		if d.tell(t, n) {
			t.Errorf("%s: acknowledged", name)
		}
		d.expectCounted(t, map[string]int{c.result: 1})
	}
	d.expect(t, map[ledger.AccountName]string{refunding: "30.00"})
	d.restart()
	d.done(t, ended(sent, succeeded)) // and then the right one
	d.expect(t, map[ledger.AccountName]string{refunding: "0.00"})
}
