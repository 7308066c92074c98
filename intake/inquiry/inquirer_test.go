package inquiry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestPaymentWhoseNoticesAllFailIsCredited(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.wechat.says(paid(order, "t1"), nil)
	w.page(t)
	w.expectAsked(t, 0) // a notice mostly comes by itself
	w.at(5 * time.Minute)
	w.page(t)
	w.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
	w.expectCounted(t, map[string]float64{"confirmed": 1})
	w.expectWaiting(t, 0)
	if logged := w.logged.String(); strings.Count(logged, "level=WARN") != 1 || !strings.Contains(logged, "learnt by asking") {
		t.Errorf("logged %s", logged)
	}
	if record, err := w.Reader.Record(t.Context(), tasks.RechargeConfirm, "rc1"); err != nil || record.Producer != "shop" {
		t.Errorf("accepted as %q's, %v", record.Producer, err)
	}
}

func TestPaymentThatANoticeHasToldIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	w := open(t)
	const many = inquiry.LookMax + 1
	for i := range many {
		order := w.order(t, fmt.Sprint("rc", i))
		if i == 1 {
			continue
		}
		if _, err := w.payments.Accept(t.Context(), paid(order, fmt.Sprint("t", i))); err != nil {
			t.Fatal(err)
		}
	}
	w.wechat.says(channel.Notice{}, channel.ErrUnpaid)
	w.at(5 * time.Minute)
	for w.page(t) {
	}
	w.expectAsked(t, 1)
	w.expectWaiting(t, 1)
	w.settle(t)
}

// What was paid is what its notice would have made of it.
func TestPaymentThatIsNoRechargeStandsInSuspense(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world, n *channel.Notice)
		amount string
		detail tasks.SuspensionCause
	}{
		"another amount":   {func(_ *world, n *channel.Notice) { n.Amount = ledgertest.Yuan("99.99") }, "99.99", tasks.WrongAmount},
		"after its time":   {func(_ *world, n *channel.Notice) { n.OccurredAt = n.OccurredAt.Add(2 * time.Hour) }, "100.00", tasks.ClosedOrder},
		"refunded by hand": {func(_ *world, n *channel.Notice) { n.Refunded = true }, "100.00", tasks.RefundedPayment},
		"after it was closed": {func(w *world, n *channel.Notice) {
			if _, err := w.orders.Close(t.Context(), "rc1"); err != nil {
				t.Error(err)
			}
		}, "100.00", tasks.ClosedOrder},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			n := paid(w.order(t, "rc1"), "t1")
			c.change(w, &n)
			w.wechat.says(n, nil)
			w.at(3 * time.Hour)
			w.page(t)
			w.expect(t, map[ledger.AccountName]string{cash: "0.00", suspense: c.amount})
			w.expectCounted(t, map[string]float64{"suspended": 1})
			w.expectWaiting(t, 0)
			if cases := w.count(t, "SELECT count(*) FROM cases WHERE detail LIKE '%' || $1 || '%'", c.detail); cases != 1 {
				t.Errorf("%d cases say %s", cases, c.detail)
			}
			if !strings.Contains(w.logged.String(), "learnt by asking") {
				t.Errorf("logged %s", w.logged)
			}
		})
	}
}

// A notice that comes after the answer that the payment was refunded tells the same payment, and credits nothing.
func TestPaymentThatWasRefundedBeforeItWasKnownIsNeverCredited(t *testing.T) {
	t.Parallel()
	w := open(t)
	n := paid(w.order(t, "rc1"), "t1")
	refunded := n
	refunded.Refunded = true
	w.wechat.says(refunded, nil)
	w.at(5 * time.Minute)
	w.page(t)
	if became, err := w.payments.Accept(t.Context(), n); became != notice.ResultReplayed || err != nil {
		t.Errorf("its notice became %s, %v", became, err)
	}
	w.expect(t, map[ledger.AccountName]string{cash: "0.00", suspense: "100.00"})

	known := paid(w.order(t, "rc2"), "t2")
	if became, err := w.payments.Accept(t.Context(), known); became != notice.ResultConfirmed || err != nil {
		t.Errorf("another's notice became %s, %v", became, err)
	}
	known.Refunded = true
	if became, err := w.payments.Accept(t.Context(), known); became != notice.ResultReplayed || err != nil {
		t.Errorf("asked about, it became %s, %v", became, err)
	}
	w.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "100.00"})
}

// The notice comes while the channel is asked, to another process: one of them is first, and both are done.
func TestNoticeAndInquiriesAtOneMomentCreditOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	const orders = 40
	notices := map[string]channel.Notice{}
	for i := range orders {
		n := paid(w.order(t, fmt.Sprint("rc", i)), fmt.Sprint("t", i))
		notices[n.OutTradeNo] = n
	}
	var telling sync.WaitGroup
	w.wechat.does(func(ctx context.Context, order channel.PaymentOrder) (channel.Notice, error) {
		n := notices[order.OutTradeNo]
		told := n
		told.ID = "EV-" + n.ChannelTxnID
		telling.Go(func() {
			if became, err := w.payments.Accept(ctx, told); err != nil && ctx.Err() == nil {
				t.Errorf("the notice of %s: %s, %v", told.OutTradeNo, became, err)
			}
		})
		return n, nil
	})
	w.at(5 * time.Minute)
	processes := []*process{w.process, w.start(), w.start()}
	var asking sync.WaitGroup
	for _, p := range processes {
		asking.Go(func() {
			for more := true; more; {
				var err error
				if more, err = p.Page(t.Context(), tasks.SourceWeChat); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	telling.Wait()
	w.expect(t, map[ledger.AccountName]string{cash: "4000.00", suspense: "0.00", "channel/wechat/clearing": "-4000.00"})
	w.expectWaiting(t, 0)
	w.expectAsked(t, orders)
}

// A process that dies after its claim leaves the order to the others, whether or not it had accepted the payment.
func TestOrderOfAProcessThatDiedIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	for _, accepted := range []bool{false, true} {
		w := open(t)
		n := paid(w.order(t, "rc1"), "t1")
		w.wechat.says(n, nil)
		w.at(5 * time.Minute)
		if claimed, err := w.start().Claim(t.Context(), tasks.SourceWeChat); err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
		asked := 1
		if accepted {
			if _, err := w.payments.Accept(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			asked = 0
		}
		w.clock.Advance(inquiry.Lease - time.Second)
		w.page(t)
		w.expectAsked(t, 0) // the other one may be at it
		w.clock.Advance(time.Second)
		w.page(t)
		w.expectAsked(t, asked)
		w.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
		w.expectWaiting(t, 0)
	}
}

func TestOrderThatIsNotPaidIsAskedAboutByItsScheduleUntilTheLast(t *testing.T) {
	t.Parallel()
	const m, h = time.Minute, time.Hour
	for result, said := range map[string]error{"unpaid": channel.ErrUnpaid, "unknown_number": channel.ErrUnknownNumber,
		"refused": fmt.Errorf("answered 403 NO_AUTH: %w", channel.ErrRefused)} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			w.order(t, "rc1") // for two hours
			w.wechat.says(channel.Notice{}, fmt.Errorf("ask: %w", said))
			schedule := []time.Duration{5 * m, 15 * m, h, 2*h + m, 3 * h, 26 * h, 74 * h}
			for i, due := range schedule {
				w.expectWaiting(t, 1)
				w.at(due - time.Microsecond)
				w.page(t)
				w.expectAsked(t, i)
				w.at(due)
				w.page(t)
				w.page(t)
				w.expectAsked(t, i+1)
			}
			w.expectWaiting(t, 0)
			w.expectCounted(t, map[string]float64{result: float64(len(schedule))})
			errs := 0
			if said != channel.ErrUnpaid && said != channel.ErrUnknownNumber {
				errs = 1 // nothing was ever told of it
			}
			if logged := w.logged.String(); strings.Count(logged, "level=ERROR") != errs {
				t.Errorf("logged %s", logged)
			}
		})
	}
}

// What a process that stood still has missed is asked once.
func TestOrderThatWasDueSeveralTimesIsAskedAboutOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.order(t, "rc1")
	w.wechat.says(channel.Notice{}, channel.ErrUnpaid)
	w.at(20 * time.Hour)
	for w.page(t) {
	}
	w.page(t)
	w.expectAsked(t, 1)
	w.expectWaiting(t, 1)
}

func TestOrderThatTheChannelHasClosedIsAskedAboutNoMore(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.wechat.says(channel.Notice{Channel: order.Channel, Event: channel.EventClosed, OutTradeNo: order.OutTradeNo}, nil)
	w.at(5 * time.Minute)
	w.page(t)
	w.expectCounted(t, map[string]float64{"closed": 1})
	w.expectWaiting(t, 0)
	w.expect(t, map[ledger.AccountName]string{cash: "0.00", suspense: "0.00"})
}

// However long a channel is away, its orders wait for it, each longer after each try, and the payment is found in the end.
func TestChannelThatDoesNotAnswerIsAskedLater(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.at(5 * time.Minute)
	pause := inquiry.PauseMin
	for i := range 200 { // beyond the last time of the schedule
		w.page(t)
		w.page(t)
		w.expectAsked(t, i+1)
		if i > 0 {
			pause = min(2*pause, inquiry.PauseMax)
		}
		w.clock.Advance(pause)
	}
	w.expectCounted(t, map[string]float64{"unanswered": 200})
	if err := w.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	overdue := w.clock.Now().Sub(ledgertest.Noon.Add(5 * time.Minute)).Seconds()
	want := map[string]map[string]float64{"settled_intake_waiting_inquiries": {"wechat ": 1},
		"settled_intake_oldest_inquiry_overdue_seconds": {"wechat ": overdue}}
	for name, series := range want {
		if diff := cmp.Diff(series, w.series(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	w.wechat.says(paid(order, "t1"), nil)
	w.page(t)
	w.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
	w.expectWaiting(t, 0)
}

func TestChannelThatDoesNotAnswerIsAskedAboutOneOrderAtATime(t *testing.T) {
	t.Parallel()
	w := open(t)
	const orders = 2 * inquiry.CallsMax * inquiry.PerCall
	for i := range orders {
		w.order(t, fmt.Sprint("rc", i))
	}
	w.at(5 * time.Minute)
	if w.page(t) {
		t.Error("the next page follows at once")
	}
	first := w.wechat.calls()
	if first > inquiry.CallsMax {
		t.Errorf("it was asked about %d orders, at most %d at once", first, inquiry.CallsMax)
	}
	for range 3 {
		w.page(t)
	}
	w.expectAsked(t, first+3)
	w.wechat.says(channel.Notice{}, channel.ErrUnpaid)
	for w.page(t) {
	}
	w.expectAsked(t, orders) // those that waited are asked about in full pages; those that failed wait
	w.expectWaiting(t, orders)
}

// An order whose answer is never readable, as of another app of the merchant, waits alone: it says nothing of the channel.
func TestOrdersWhoseAnswersCannotBeReadKeepNoOtherWaiting(t *testing.T) {
	t.Parallel()
	for _, why := range []error{channel.ErrNotOurs, channel.ErrMalformed} {
		w := open(t)
		const strange = 2 * inquiry.CallsMax * inquiry.PerCall
		numbers := map[string]bool{}
		for i := range strange {
			numbers[w.order(t, fmt.Sprint("rc", i)).OutTradeNo] = true
		}
		w.at(time.Second)
		w.order(t, "good")
		w.wechat.does(func(_ context.Context, asked channel.PaymentOrder) (channel.Notice, error) {
			if numbers[asked.OutTradeNo] {
				return channel.Notice{}, fmt.Errorf("query payment: %w", why)
			}
			return channel.Notice{}, channel.ErrUnpaid
		})
		w.at(5*time.Minute + time.Second)
		for w.page(t) {
		}
		w.expectAsked(t, strange+1)
		w.expectCounted(t, map[string]float64{"unreadable": strange, "unpaid": 1})
		w.expectWaiting(t, strange+1) // none is forgotten
	}
}

// An answer that is wrong moves nothing, and is asked for again.
func TestAnswerThatIsNotOfTheOrderMovesNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*channel.Notice){
		"another order":    func(n *channel.Notice) { n.OutTradeNo = "RC00000001" },
		"another channel":  func(n *channel.Notice) { n.Channel = tasks.SourceECNY },
		"a refund":         func(n *channel.Notice) { n.Event = channel.EventRefund },
		"no event":         func(n *channel.Notice) { n.Event = "" },
		"an amount of 0":   func(n *channel.Notice) { n.Amount = money.Amount{} },
		"no payment's own": func(n *channel.Notice) { n.ChannelTxnID = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			n := paid(w.order(t, "rc1"), "t1")
			change(&n)
			w.wechat.says(n, nil)
			w.at(5 * time.Minute)
			w.page(t)
			w.expectCounted(t, map[string]float64{"failed": 1})
			w.expectWaiting(t, 1)
			if stored := w.count(t, "SELECT count(*) FROM requests"); stored != 0 {
				t.Errorf("%d requests are stored", stored)
			}
			if !strings.Contains(w.logged.String(), "level=ERROR") {
				t.Errorf("logged %s", w.logged)
			}
			w.wechat.says(paid(mustFind(t, w), "t1"), nil)
			w.clock.Advance(inquiry.PauseMin)
			w.page(t)
			w.expect(t, map[ledger.AccountName]string{cash: "100.00"})
		})
	}
}

func TestPortThatPanicsEndsNoProcess(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.wechat.does(func(context.Context, channel.PaymentOrder) (channel.Notice, error) { panic("a bug") })
	w.at(5 * time.Minute)
	w.page(t)
	w.expectCounted(t, map[string]float64{"failed": 1})
	w.wechat.says(paid(order, "t1"), nil)
	w.clock.Advance(inquiry.PauseMin)
	w.page(t)
	w.expect(t, map[ledger.AccountName]string{cash: "100.00"})
}

// What a process that ends has in hand is due again at once, and what it has heard is kept.
func TestProcessThatEndsGivesBackWhatItHasNotAsked(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	const orders = inquiry.CallsMax * inquiry.PerCall
	for i := range orders {
		w.order(t, fmt.Sprint("rc", i))
	}
	w.wechat.does(func(ctx context.Context, _ channel.PaymentOrder) (channel.Notice, error) {
		cancel()
		<-ctx.Done()
		return channel.Notice{}, ctx.Err()
	})
	w.at(5 * time.Minute)
	if _, err := w.Page(ctx, tasks.SourceWeChat); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.expectCounted(t, map[string]float64{})
	asked := w.wechat.calls()
	w.wechat.says(channel.Notice{}, channel.ErrUnpaid)
	w.page(t)
	w.expectAsked(t, asked+orders)
}

func TestNothingIsAskedOfAChannelThatIsNotConfigured(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.order(t, "rc1")
	delete(w.ports, tasks.SourceWeChat)
	w.at(5 * time.Minute)
	if w.page(t) {
		t.Error("there is more of nothing")
	}
	w.expectWaiting(t, 1)
	w.ports[tasks.SourceWeChat] = w.wechat
	w.page(t)
	w.expectAsked(t, 1) // at once when it is
}

// The loop, by a clock that the test moves: the first page finds nothing, a later one the payment.
func TestRunAsksWhenAnOrderIsDueAndEnds(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.wechat.says(paid(order, "t1"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	const loops = 5 // one for each channel, and the count
	for w.wechat.calls() == 0 {
		if err := w.clock.WaitForTimers(t.Context(), loops); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Minute)
	}
	if err := w.clock.WaitForTimers(t.Context(), loops); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.expect(t, map[ledger.AccountName]string{cash: "100.00"})
	w.expectWaiting(t, 0)
	w.expectAsked(t, 1)
}
