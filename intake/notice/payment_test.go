package notice_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestPaymentIsCreditedToWhomTheOrderSays(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.done(t, paid(d.order(t, "rc1", "u1"), "t1"))
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00", "channel/wechat/clearing": "-100.00"})
	record, err := d.Reader.Record(t.Context(), tasks.RechargeConfirm, "rc1")
	if err != nil || record.Producer != "shop" || record.State != string(tasks.Applied) {
		t.Errorf("%+v, %v", record, err)
	}
	if order, err := d.orders.Find(t.Context(), "rc1"); err != nil || order.State != recharge.StatePaid || order.ChannelTxnID != "t1" {
		t.Errorf("the order is %+v, %v", order, err)
	}
}

// The same notice a hundred times at once, again by a process that has just started, and after days.
func TestNoticeThatComesAgainIsCreditedOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	n := paid(d.order(t, "rc1", "u1"), "t1")
	var running sync.WaitGroup
	var done atomic.Int64
	for range 100 {
		running.Go(func() {
			if d.tell(t, n) {
				done.Add(1)
			}
		})
	}
	running.Wait()
	if done.Load() != 100 {
		t.Errorf("%d of 100 are acknowledged", done.Load())
	}
	d.expectCounted(t, map[string]int{"confirmed": 1, "replayed": 99})
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
	d.restart()
	for range 2 {
		d.clock.Advance(48 * time.Hour)
		n.ID += "'" // a redelivery may have a number of its own
		d.done(t, n)
	}
	d.expectCounted(t, map[string]int{"replayed": 2})
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
}

// Whatever keeps a payment from being a recharge: the money is in suspense, once, and a person is asked.
func TestPaymentThatIsNoRechargeStandsInSuspenseWithACase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, d *door, n *channel.Notice)
		cause   tasks.SuspensionCause
		unknown bool
	}{
		"an unknown number":           {func(_ *testing.T, _ *door, n *channel.Notice) { n.OutTradeNo = "SHOP|17*1" }, tasks.UnknownOrder, true},
		"a number in other letters":   {func(_ *testing.T, _ *door, n *channel.Notice) { n.OutTradeNo = "rc" + n.OutTradeNo[2:] }, tasks.UnknownOrder, true},
		"a fen less":                  {func(_ *testing.T, _ *door, n *channel.Notice) { n.Amount = ledgertest.Yuan("99.99") }, tasks.WrongAmount, false},
		"a fen more":                  {func(_ *testing.T, _ *door, n *channel.Notice) { n.Amount = ledgertest.Yuan("100.01") }, tasks.WrongAmount, false},
		"with the channel's fee":      {func(_ *testing.T, _ *door, n *channel.Notice) { n.Amount = ledgertest.Yuan("100.60") }, tasks.WrongAmount, false},
		"fen that are taken for yuan": {func(_ *testing.T, _ *door, n *channel.Notice) { n.Amount = ledgertest.Yuan("10000") }, tasks.WrongAmount, false},
		"another channel":             {func(_ *testing.T, _ *door, n *channel.Notice) { n.Channel = tasks.SourceECNY }, tasks.WrongChannel, false},
		"after the order was closed":  {closeAt(30 * time.Second), tasks.ClosedOrder, false},
		"after the order had expired": {func(_ *testing.T, _ *door, n *channel.Notice) { n.OccurredAt = ledgertest.Noon.Add(3 * time.Hour) }, tasks.ClosedOrder, false},
		"after another had paid":      {payWith("t0"), tasks.SecondPayment, false},
		"after another, and too late": {func(t *testing.T, d *door, n *channel.Notice) {
			payWith("t0")(t, d, n)
			n.OccurredAt = n.OccurredAt.AddDate(0, 0, 1)
		}, tasks.SecondPayment, false},
		"refunded before it was heard of": {func(_ *testing.T, _ *door, n *channel.Notice) { n.Refunded = true }, tasks.RefundedPayment, false},
		"refunded, after another had paid": {func(t *testing.T, d *door, n *channel.Notice) {
			payWith("t0")(t, d, n)
			n.Refunded = true
		}, tasks.RefundedPayment, false},
		"to an order that was closed, of another amount": {func(t *testing.T, d *door, n *channel.Notice) {
			closeAt(time.Second)(t, d, n)
			n.Amount = ledgertest.Yuan("1")
		}, tasks.WrongAmount, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			n := paid(d.order(t, "rc1", "u1"), "t1")
			c.prepare(t, d, &n)
			d.expect(t, nil)
			before := d.Balance(t, cash)
			d.restart()
			for range 3 {
				d.done(t, n)
				d.settle(t)
			}
			d.expectCounted(t, map[string]int{"suspended": 1, "replayed": 2})
			standsIn := ledger.Suspense(n.Channel)
			if c.cause == tasks.SecondPayment {
				standsIn = ledger.ChannelRefunding(n.Channel) // it is on its way back
			}
			d.expect(t, map[ledger.AccountName]string{cash: before.String(), standsIn: n.Amount.String()})
			detail := fmt.Sprintf("%s payment t1 under the order number %q: %s", n.Channel, n.OutTradeNo, c.cause)
			if !c.unknown {
				detail += "; recharge order rc1 of user u1"
			}
			want := []openedCase{{"unmatched_recharge", string(ledger.Suspense(n.Channel)), n.Amount.Fen(), detail}}
			if diff := cmp.Diff(want, d.cases(t)); diff != "" {
				t.Errorf("cases (-want +got):\n%s", diff)
			}
		})
	}
}

// closeAt closes the order some time after noon.
func closeAt(after time.Duration) func(*testing.T, *door, *channel.Notice) {
	return func(t *testing.T, d *door, _ *channel.Notice) {
		t.Helper()
		d.clock.Set(ledgertest.Noon.Add(after))
		if _, err := d.orders.Close(t.Context(), "rc1"); err != nil {
			t.Fatal(err)
		}
	}
}

// payWith has another payment pay the order.
func payWith(txn string) func(*testing.T, *door, *channel.Notice) {
	return func(t *testing.T, d *door, n *channel.Notice) {
		t.Helper()
		other := *n
		other.ChannelTxnID = txn
		d.done(t, other)
	}
}

// What was paid in time is credited, however late the notice comes.
func TestPaymentInTimeIsCreditedThoughItsNoticeIsLate(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"closed since": time.Minute, "closed later": 90 * time.Minute, "expired since": 25 * time.Hour} {
		d := open(t)
		n := paid(d.order(t, "rc1", "u1"), "t1")
		if after < 24*time.Hour {
			closeAt(after)(t, d, &n)
		}
		d.clock.Set(ledgertest.Noon.Add(after))
		d.done(t, n)
		d.expectCounted(t, map[string]int{"confirmed": 1})
		d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
		if order, err := d.orders.Find(t.Context(), "rc1"); err != nil || order.State != recharge.StatePaid {
			t.Errorf("%s: the order is %+v, %v", name, order, err)
		}
	}
}

// Where the channel does not tell when it was paid, an order that is open now was open then. Whether one that is not open any more was, nobody
// knows: a person decides. Whatever it became, it stays so.
func TestPaymentOfAnUntoldTimeIsCreditedWhileItsOrderIsOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after         time.Duration // noon, when the notice comes
		closed        time.Duration
		told          bool
		cash, suspect string
	}{
		"open":              {after: 119 * time.Minute, cash: "100.00", suspect: "0.00"},
		"open, then closed": {after: time.Minute, closed: 2 * time.Minute, cash: "100.00", suspect: "0.00"},
		"closed":            {after: 2 * time.Minute, closed: time.Minute, cash: "0.00", suspect: "100.00"},
		"expired":           {after: 2*time.Hour + time.Second, cash: "0.00", suspect: "100.00"},
		"closed, and told":  {after: 2 * time.Minute, closed: 90 * time.Second, told: true, cash: "100.00", suspect: "0.00"},
		"expired, and told": {after: 2*time.Hour + time.Second, told: true, cash: "100.00", suspect: "0.00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			n := paid(d.order(t, "rc1", "u1"), "t1") // ordered a minute after noon
			n.TimeUnknown = !c.told
			if c.closed > 0 && c.closed < c.after {
				closeAt(c.closed)(t, d, &n)
			}
			d.clock.Set(ledgertest.Noon.Add(c.after))
			d.done(t, n)
			if c.closed >= c.after {
				d.clock.Set(ledgertest.Noon.Add(c.closed))
				_, _ = d.orders.Close(t.Context(), "rc1") // refused: it is paid
			}
			want := map[ledger.AccountName]string{cash: c.cash, suspense: c.suspect}
			d.expect(t, want)
			for range 3 { // copies, also when the order would be judged otherwise
				d.clock.Advance(time.Hour)
				d.done(t, n)
				d.expect(t, want)
			}
			first := map[string]string{"100.00": "confirmed", "0.00": "suspended"}[c.cash]
			d.expectCounted(t, map[string]int{first: 1, "replayed": 3})
			for _, opened := range d.cases(t) {
				if !strings.Contains(opened.Detail, string(tasks.ClosedOrder)) {
					t.Errorf("case %+v", opened)
				}
			}
			if cases := len(d.cases(t)); (cases == 1) != (c.cash == "0.00") {
				t.Errorf("%d cases", cases)
			}
		})
	}
}

// The same payment with other content moves nothing, and each time is an incident. N5.
func TestEachChangedFieldOfAnAcceptedPaymentIsAContradiction(t *testing.T) {
	t.Parallel()
	changes := map[string]func(d *door, n *channel.Notice){
		"amount":               func(_ *door, n *channel.Notice) { n.Amount = ledgertest.Yuan("1000.00") },
		"time":                 func(_ *door, n *channel.Notice) { n.OccurredAt = n.OccurredAt.Add(time.Second) },
		"another user's order": func(d *door, n *channel.Notice) { n.OutTradeNo = d.order(t, "rc2", "u2").OutTradeNo },
		"an unknown order":     func(_ *door, n *channel.Notice) { n.OutTradeNo = "RC00000000" },
	}
	for name, change := range changes {
		for _, suspended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, suspended %v", name, suspended), func(t *testing.T) {
				t.Parallel()
				d := open(t)
				n := paid(d.order(t, "rc1", "u1"), "t1")
				want := map[ledger.AccountName]string{cash: "100.00", suspense: "0.00", "user/u2/cash": "0.00"}
				if suspended {
					n.Amount = ledgertest.Yuan("99.00")
					want[cash], want[suspense] = "0.00", "99.00"
				}
				d.done(t, n)
				d.expect(t, want)
				d.restart()
				other := n
				change(d, &other)
				d.done(t, other)
				d.expectCounted(t, map[string]int{"contradicted": 1})
				d.expect(t, want)
				d.done(t, n) // what was said first still is so
				d.expectCounted(t, map[string]int{"contradicted": 1, "replayed": 1})
				d.expect(t, want)
				recorded := d.count(t, "SELECT count(*) FROM conflicts") + d.count(t, "SELECT count(*) FROM outcomes WHERE reason = 'channel_payment_already_used'")
				if recorded != 1 {
					t.Errorf("%d contradictions are recorded, want one", recorded)
				}
			})
		}
	}
}

// Two payments of one order, both at once, by way of one notice each or many: one is credited, the other suspended and sent back, once.
func TestSecondPaymentOfAnOrderIsSentBackByItself(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 20} {
		d := open(t)
		order := d.order(t, "rc1", "u1")
		var running sync.WaitGroup
		for range copies {
			for _, txn := range []string{"t1", "t2"} {
				running.Go(func() {
					if !d.tell(t, paid(order, txn)) {
						t.Errorf("%s is not acknowledged", txn)
					}
				})
			}
		}
		running.Wait()
		d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00", "channel/wechat/refunding": "100.00",
			"channel/wechat/clearing": "-200.00"})
		if cases := d.cases(t); len(cases) != 1 {
			t.Errorf("%d copies: cases %+v", copies, cases)
		}
		if n := d.count(t, `SELECT count(*) FROM requests s JOIN requests c ON c.kind = 'recharge:suspend' AND c.key = 'wechat/' || (s.payload ->> 'channel_txn_id')
			WHERE s.kind = 'refund:send'`); n != 1 {
			t.Errorf("%d copies: %d refunds of the suspended payment are sent, want one", copies, n)
		}
		if n := d.count(t, "SELECT count(*) FROM case_closings WHERE closed_by = 'settled' AND note = 'policy: returned_suspensions has second_payment'"); n != 1 {
			t.Errorf("%d copies: %d cases are closed by the policy, want one", copies, n)
		}
	}
}

// The order is closed while copies of a notice are under way: some see it open. However they see it, the money is booked once.
func TestPaymentIsBookedOnceThoughCopiesSeeTheOrderDifferently(t *testing.T) {
	t.Parallel()
	for round := range 8 {
		d := open(t)
		n := paid(d.order(t, "rc1", "u1"), "t1") // a minute after noon, before which the order is closed
		d.clock.Set(ledgertest.Noon.Add(30 * time.Second))
		var running sync.WaitGroup
		for i := range 12 {
			running.Go(func() {
				if i == round {
					_, _ = d.orders.Close(t.Context(), "rc1") // refused when it is paid already
				}
				if !d.tell(t, n) {
					t.Error("a copy is not acknowledged")
				}
			})
		}
		running.Wait()
		d.settle(t)
		credited, suspended := d.Balance(t, cash).String(), d.Balance(t, suspense).String()
		if credited+suspended != "100.00"+"0.00" && credited+suspended != "0.00"+"100.00" {
			t.Errorf("credited %s, suspended %s", credited, suspended)
		}
		d.done(t, n)
		d.expect(t, map[ledger.AccountName]string{cash: credited, suspense: suspended})
	}
}

// A number is told only once its order is stored, so nobody can pay one that is not. If it happens all the same, the money is safe,
// and stays where it was put first.
func TestPaymentBeforeItsOrderIsStoredStaysInSuspense(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "during", "after"} {
		d := open(t)
		order := recharge.Order{Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("100.00"), OutTradeNo: "RC00000001"}
		tx, err := d.DB.Owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		store := func() {
			t.Helper()
			if _, err := tx.Exec(t.Context(), `INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer,
				created_at, expires_at) VALUES ($1, 'rc1', 'u1', 'wechat', 10000, 'RC00000001', 'shop', $2, $3)`, tasks.BookOf("u1", 4),
				ledgertest.Noon, ledgertest.Noon.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		commit := func() {
			t.Helper()
			if err := tx.Commit(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		want := map[ledger.AccountName]string{cash: "0.00", suspense: "100.00"}
		switch n := paid(order, "t1"); when {
		case "before":
			d.done(t, n)
			store()
			commit()
		case "during":
			store()
			d.done(t, n)
			commit()
		default:
			store()
			commit()
			want[cash], want[suspense] = "100.00", "0.00"
		}
		for range 2 {
			d.done(t, paid(order, "t1"))
			d.expect(t, want)
		}
	}
}

// W1: a payment that has funded an order of the shop is no recharge as well.
func TestPaymentThatHasFundedSomethingElseMovesNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	order := d.order(t, "rc1", "u1")
	payment := ledgertest.Payment("o1", "u2", ledgertest.Leg(tasks.SourceWeChat, "100.00"))
	payment.Legs[0].ChannelTxnID = "t1"
	ledgertest.Applied(t, d.Do(t, payment)...)
	d.done(t, paid(order, "t1"))
	d.done(t, paid(order, "t1"))
	d.expectCounted(t, map[string]int{"contradicted": 1, "replayed": 1})
	d.expect(t, map[ledger.AccountName]string{cash: "0.00", suspense: "0.00", "merchant/m1/payable": "100.00"})
	d.done(t, paid(order, "t2")) // the order can still be paid
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", suspense: "0.00"})
}

func TestWhatMovesNoMoneyIsAcknowledgedAndNotStored(t *testing.T) {
	t.Parallel()
	d := open(t)
	n := paid(d.order(t, "rc1", "u1"), "t1")
	for _, event := range []channel.Event{channel.EventClosed, channel.EventOther} {
		n.Event = event
		d.done(t, n)
	}
	d.expectCounted(t, map[string]int{"acknowledged": 2})
	if stored := d.count(t, "SELECT count(*) FROM requests"); stored != 0 {
		t.Errorf("%d requests are stored", stored)
	}
}
