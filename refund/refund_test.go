package refund_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

var occurredAt = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func amounts(fen ...int64) []money.Amount {
	list := make([]money.Amount, len(fen))
	for i, f := range fen {
		list[i] = money.FromFen(f)
	}
	return list
}

func leg(source tasks.Source, captured, refunded int64) ledger.Leg {
	l := ledger.Leg{Source: source, Captured: money.FromFen(captured), Refunded: money.FromFen(refunded)}
	if !source.IsBalance() {
		l.ChannelTxnID = "t1"
	}
	return l
}

func order(legs ...ledger.Leg) *ledger.Order {
	return &ledger.Order{ID: "o1", UserID: "ada", MerchantID: "shop", Legs: legs}
}

func line(id string, allocated ...int64) ledger.Line {
	var price int64
	for _, fen := range allocated {
		price += fen
	}
	return ledger.Line{ID: id, Kind: tasks.Goods, Amount: money.FromFen(price), Allocated: amounts(allocated...),
		Refunded: make([]money.Amount, len(allocated))}
}

func withLines(o *ledger.Order, lines ...ledger.Line) *ledger.Order {
	o.Lines = lines
	return o
}

func setup(how tasks.RefundSplit, o *ledger.Order) *ledger.State {
	policy := tasks.DefaultPolicy()
	policy.RefundSplit = how
	s := ledger.NewState(0, 1, policy)
	s.PutOrder("o1", o)
	for _, user := range []string{"ada", "eve"} {
		s.PutAccount(ledger.UserCash(user), money.FromFen(-1))
		s.PutAccount(ledger.UserReward(user), money.FromFen(-1))
	}
	return s
}

func refundOf(fen int64, lines ...tasks.LineRefund) *tasks.Refund {
	return &tasks.Refund{RefundID: "r1", OrderID: "o1", UserID: "ada", Amount: money.FromFen(fen), Lines: lines, OccurredAt: occurredAt}
}

func lineRefund(id string, fen int64) tasks.LineRefund {
	return tasks.LineRefund{LineID: id, Amount: money.FromFen(fen)}
}

// decide runs a rule over a payload that acceptance would take, and posts what it decided.
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

func moves(d ledger.Decision) []string {
	var list []string
	for _, transfer := range d.Transfers {
		list = append(list, fmt.Sprintf("%s -> %s %s", transfer.Debit.Name(), transfer.Credit.Name(), transfer.Amount))
	}
	return list
}

func wantMoves(t testing.TB, d ledger.Decision, want ...string) {
	t.Helper()
	if !d.Applied() {
		t.Fatalf("not applied: %q, %q", d.Reason(), d.Detail())
	}
	if diff := cmp.Diff(want, moves(d)); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
}

func TestRefundGoesBackToTheBucketsAndChannelsThatPaid(t *testing.T) {
	t.Parallel()
	o := order(leg(tasks.SourceReward, 10_00, 0), leg(tasks.SourceCash, 70_00, 0), leg(tasks.SourceWeChat, 20_00, 0))
	d := decide(t, setup(tasks.Proportional, o), refund.Apply(), refundOf(30_00))
	wantMoves(t, d,
		"merchant/shop/payable -> user/ada/reward 3.00",
		"merchant/shop/payable -> user/ada/cash 21.00",
		"merchant/shop/payable -> channel/wechat/refunding 6.00")
	number := refund.Number("r1", 2)
	want := []tasks.Payload{&tasks.RefundOrder{Number: number, RefundID: "r1", OrderID: "o1", UserID: "ada", Leg: 2,
		Channel: tasks.SourceWeChat, ChannelTxnID: "t1", Captured: money.FromFen(20_00), Amount: money.FromFen(6_00),
		OccurredAt: occurredAt}}
	if diff := cmp.Diff(want, d.FollowUps); diff != "" {
		t.Errorf("follow-ups (-want +got):\n%s", diff)
	}
	if err := tasks.Validate(d.FollowUps[0]); err != nil {
		t.Errorf("the follow-up would not be accepted: %v", err)
	}
	if want := "reward 3.00 to reward, cash 21.00 to cash, wechat 6.00 to channel as " + number; d.Detail() != want {
		t.Errorf("detail %q, want %q", d.Detail(), want)
	}
	if got := o.Remaining(); got != money.FromFen(70_00) {
		t.Errorf("%s remain, want 70.00", got)
	}
}

func TestRefundToBalanceMakesCashOfChannelsAndNeverOfRewards(t *testing.T) {
	t.Parallel()
	o := order(leg(tasks.SourceReward, 10_00, 0), leg(tasks.SourceCash, 70_00, 0), leg(tasks.SourceWeChat, 20_00, 0))
	p := refundOf(100_00)
	p.To = tasks.ToBalance
	d := decide(t, setup(tasks.Proportional, o), refund.Apply(), p)
	wantMoves(t, d,
		"merchant/shop/payable -> user/ada/reward 10.00",
		"merchant/shop/payable -> user/ada/cash 70.00",
		"merchant/shop/payable -> user/ada/cash 20.00")
	if len(d.FollowUps) != 0 {
		t.Errorf("no channel is to pay, and %v is asked for", d.FollowUps)
	}
}

func TestRefundBeforeItsPaymentWaitsForIt(t *testing.T) {
	t.Parallel()
	d := decide(t, setup(tasks.Proportional, nil), refund.Apply(), refundOf(30_00))
	if d.Applied() || d.Reason() != "" || d.WaitsFor() != "payment:capture/o1" {
		t.Errorf("applied %v, reason %q, waits for %q; want it to wait for payment:capture/o1", d.Applied(), d.Reason(), d.WaitsFor())
	}
}

func TestRefundsThatAreRefused(t *testing.T) {
	t.Parallel()
	lined := func() *ledger.Order {
		o := withLines(order(leg(tasks.SourceCash, 60_00, 0), leg(tasks.SourceWeChat, 40_00, 0)),
			line("l1", 30_00, 20_00), line("l2", 30_00, 20_00), ledger.Line{ID: "c", Kind: tasks.Coupon, Amount: money.FromFen(5_00),
				Allocated: amounts(0, 0), Refunded: amounts(0, 0)})
		return o
	}
	another := refundOf(1_00)
	another.UserID = "eve"
	for name, c := range map[string]struct {
		order  *ledger.Order
		refund *tasks.Refund
		reason tasks.Reason
		detail string
	}{
		"another user's order": {order(leg(tasks.SourceCash, 60_00, 0)), another, tasks.OrderOfAnotherUser,
			"order o1 is not of user eve"},
		"a fen more than was captured": {order(leg(tasks.SourceCash, 60_00, 0), leg(tasks.SourceWeChat, 40_00, 0)), refundOf(100_01),
			tasks.ExceedsRefundable, "order o1: asked 100.01, remaining 100.00"},
		"a fen more than remains": {order(leg(tasks.SourceCash, 60_00, 59_99), leg(tasks.SourceWeChat, 40_00, 40_00)), refundOf(2),
			tasks.ExceedsRefundable, "order o1: asked 0.02, remaining 0.01"},
		"nothing remains": {order(leg(tasks.SourceCash, 60_00, 60_00)), refundOf(1),
			tasks.ExceedsRefundable, "order o1: asked 0.01, remaining 0.00"},
		"a line that the order does not have": {lined(), refundOf(2_00, lineRefund("l1", 1_00), lineRefund("l9", 1_00)),
			tasks.UnknownLine, "order o1 has no line l9"},
		"lines of an order that was captured without": {order(leg(tasks.SourceCash, 60_00, 0)), refundOf(1_00, lineRefund("l1", 1_00)),
			tasks.UnknownLine, "order o1 has no line l1"},
		"more than was paid for the line": {lined(), refundOf(50_01, lineRefund("l1", 50_01)),
			tasks.ExceedsLine, "line l1: asked 50.01, remaining 50.00"},
		"a coupon": {lined(), refundOf(5_00, lineRefund("c", 5_00)),
			tasks.ExceedsLine, "line c: asked 5.00, remaining 0.00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := decide(t, setup(tasks.Proportional, c.order), refund.Apply(), c.refund)
			if d.Applied() || d.Reason() != c.reason || d.Detail() != c.detail {
				t.Errorf("applied %v, %q, %q; want %q, %q", d.Applied(), d.Reason(), d.Detail(), c.reason, c.detail)
			}
		})
	}
}

func TestLineIsRefundedOnceInFull(t *testing.T) {
	t.Parallel()
	o := withLines(order(leg(tasks.SourceCash, 60_00, 0), leg(tasks.SourceWeChat, 40_00, 0)), line("l1", 10_00, 40_00), line("l2", 50_00, 0))
	s := setup(tasks.Proportional, o)
	wantMoves(t, decide(t, s, refund.Apply(), refundOf(50_00, lineRefund("l1", 50_00))),
		"merchant/shop/payable -> user/ada/cash 10.00", "merchant/shop/payable -> channel/wechat/refunding 40.00")
	if d := decide(t, s, refund.Apply(), refundOf(1, lineRefund("l1", 1))); d.Reason() != tasks.ExceedsLine {
		t.Errorf("a second refund of the line: %q, want %q", d.Reason(), tasks.ExceedsLine)
	}
	wantMoves(t, decide(t, s, refund.Apply(), refundOf(50_00, lineRefund("l2", 50_00))), "merchant/shop/payable -> user/ada/cash 50.00")
}

func TestNumbersFitEveryChannelAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, id := range []string{"r1", "r11", "r1-1", "R1", "a.b:c@d_e", "0123456789012345678901234567890123456789012345678901234567890123"} {
		for leg := range 8 {
			number := refund.Number(id, leg)
			if len(number) < 8 || len(number) > 32 {
				t.Errorf("%s has %d characters, want 8 to 32", number, len(number))
			}
			for _, r := range number {
				if (r < '0' || r > '9') && (r < 'a' || r > 'z') {
					t.Errorf("%s has the character %q, want letters and digits", number, r)
				}
			}
			of := fmt.Sprintf("%s/%d", id, leg)
			if other, taken := seen[number]; taken {
				t.Errorf("%s and %s have the same number %s", of, other, number)
			}
			seen[number] = of
		}
	}
	// Numbers are at channels and in stored requests: they must never change.
	if got, want := refund.Number("r1", 0), "rf1fbadf253aff18590b220e12dd9167"; got != want {
		t.Errorf("number of leg 0 of r1 is %s, want %s", got, want)
	}
}
