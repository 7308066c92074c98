package refund_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

func total(list []money.Amount) money.Amount {
	var sum money.Amount
	for _, amount := range list {
		sum = sum.Add(amount)
	}
	return sum
}

// drawParts draws amounts, some of them zero, that add up to whole.
func drawParts(t *rapid.T, label string, whole money.Amount, n int) []money.Amount {
	cuts := rapid.SliceOfN(rapid.Int64Range(0, whole.Fen()), n-1, n-1).Draw(t, label)
	cuts = append(cuts, 0, whole.Fen())
	slices.Sort(cuts)
	parts := make([]money.Amount, n)
	for i := range parts {
		parts[i] = money.FromFen(cuts[i+1] - cuts[i])
	}
	return parts
}

// drawOrder draws an order whose lines, if it has any, are allocated to the legs in any way that adds up.
func drawOrder(t *rapid.T, lines int) *ledger.Order {
	sources := rapid.Permutation([]tasks.Source{tasks.SourceCash, tasks.SourceReward, tasks.SourceWeChat, tasks.SourceAlipay,
		tasks.SourceUnionPay, tasks.SourceECNY}).Draw(t, "sources")
	o := order()
	for _, source := range sources[:rapid.IntRange(1, 5).Draw(t, "legs")] {
		o.Legs = append(o.Legs, leg(source, rapid.Int64Range(1, 20_000).Draw(t, string(source)), 0))
	}
	for i := range lines {
		o.Lines = append(o.Lines, ledger.Line{ID: fmt.Sprintf("l%d", i), Kind: tasks.Goods})
	}
	for j := range o.Legs {
		if lines == 0 {
			break
		}
		for i, part := range drawParts(t, fmt.Sprintf("allocation of leg %d", j), o.Legs[j].Captured, lines) {
			l := &o.Lines[i]
			l.Amount, l.Allocated = l.Amount.Add(part), append(l.Allocated, part)
			l.Refunded = append(l.Refunded, money.Amount{})
		}
	}
	return o
}

// drawRefund draws a refund that is mostly possible, and sometimes a fen or more too large.
func drawRefund(t *rapid.T, o *ledger.Order, id string, byLines bool) *tasks.Refund {
	p := refundOf(0)
	p.RefundID = id
	p.To = rapid.SampledFrom([]tasks.RefundTarget{"", tasks.ToOrigin, tasks.ToBalance}).Draw(t, "to")
	p.IfRefused = rapid.SampledFrom([]tasks.RefundFallback{"", tasks.FallBackToBalance}).Draw(t, "if refused")
	if !byLines {
		p.Amount = drawAmount(t, o.Remaining())
		return p
	}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(o.Lines)-1), 1, 4, rapid.ID).Draw(t, "lines") {
		amount := drawAmount(t, refund.LineRemaining(&o.Lines[i]))
		p.Lines, p.Amount = append(p.Lines, tasks.LineRefund{LineID: o.Lines[i].ID, Amount: amount}), p.Amount.Add(amount)
	}
	return p
}

func drawAmount(t *rapid.T, remaining money.Amount) money.Amount {
	fen := max(remaining.Fen(), 1)
	switch rapid.IntRange(0, 5).Draw(t, "size") {
	case 0:
		return money.FromFen(fen)
	case 1:
		return money.FromFen(fen + rapid.SampledFrom([]int64{1, 100_000}).Draw(t, "too much"))
	default:
		return money.FromFen(rapid.Int64Range(1, fen).Draw(t, "fen"))
	}
}

// expected is the reason for which a refund must be refused, judged by sums alone; empty when it must be applied.
func expected(o *ledger.Order, p *tasks.Refund) tasks.Reason {
	if p.Amount.Cmp(o.Remaining()) > 0 {
		return tasks.ExceedsRefundable
	}
	for _, asked := range p.Lines {
		line, _ := o.Line(asked.LineID)
		if asked.Amount.Cmp(total(line.Allocated).Sub(total(line.Refunded))) > 0 {
			return tasks.ExceedsLine
		}
	}
	return ""
}

// checkForecast fails unless what was foreseen has come.
func checkForecast(t *rapid.T, foreseen refund.Forecast, d ledger.Decision) {
	told := refund.Refusal{Detail: foreseen.Plan.String()}
	if foreseen.Refusal != nil {
		told = *foreseen.Refusal
	}
	if told.Reason != d.Reason() || told.Detail != d.Detail() || foreseen.WaitsFor != d.WaitsFor() {
		t.Fatalf("foreseen %+v, became %q %q, waits for %q", foreseen, d.Reason(), d.Detail(), d.WaitsFor())
	}
}

// journey is one order's refunds and what is known of them.
type journey struct {
	state    *ledger.State
	order    *ledger.Order
	refunded money.Amount
	numbers  map[string]bool
}

func newJourney(t *rapid.T, o *ledger.Order) *journey {
	how := rapid.SampledFrom([]tasks.RefundSplit{tasks.Proportional, tasks.ExternalFirst, tasks.BalanceFirst}).Draw(t, "policy")
	j := &journey{state: setup(how, o), order: o, numbers: map[string]bool{}}
	j.state.Policy().RefundLimits[tasks.SourceWeChat] = tasks.RefundLimit{RefundsMax: rapid.IntRange(0, 3).Draw(t, "refunds of wechat")}
	j.state.Policy().RefundLimits[tasks.SourceECNY] = tasks.RefundLimit{DaysMax: rapid.IntRange(0, 3).Draw(t, "days of ecny")}
	o.CapturedAt = occurredAt
	j.state.PutTime(occurredAt.Add(time.Duration(rapid.IntRange(0, 96).Draw(t, "hours")) * time.Hour))
	return j
}

// refund decides one refund and checks all that must hold of it and after it.
func (j *journey) refund(t *rapid.T, p *tasks.Refund) {
	want := expected(j.order, p)
	before := slices.Clone(j.order.Legs)
	foreseen := refund.Foresee(j.order, refund.PaymentAwaited, p, j.state.Policy(), j.state.At())
	d := decide(t, j.state, refund.Apply(), p)
	checkForecast(t, foreseen, d)
	if d.Reason() != want || d.Applied() != (want == "") {
		t.Fatalf("refund of %s: applied %v, %q (%s); want %q", p.Amount, d.Applied(), d.Reason(), d.Detail(), want)
	}
	if d.Applied() {
		j.refunded = j.refunded.Add(p.Amount)
		j.checkParts(t, p, d, before)
	}
	var refunded money.Amount
	for i, l := range j.order.Legs {
		refunded = refunded.Add(l.Refunded)
		if l.Refunded.IsNegative() || l.Refunded.Cmp(l.Captured) > 0 {
			t.Fatalf("I6: leg %d captured %s, refunded %s", i, l.Captured, l.Refunded)
		}
	}
	if refunded != j.refunded {
		t.Fatalf("legs refunded %s, refunds add up to %s", refunded, j.refunded)
	}
	for _, line := range j.order.Lines {
		if total(line.Refunded).Cmp(total(line.Allocated)) > 0 {
			t.Fatalf("R4: line %s: %s were paid, %s refunded", line.ID, total(line.Allocated), total(line.Refunded))
		}
	}
}

// checkParts compares what moved with what each leg gave back.
func (j *journey) checkParts(t *rapid.T, p *tasks.Refund, d ledger.Decision, before []ledger.Leg) {
	moved := map[ledger.AccountName]money.Amount{}
	for _, transfer := range d.Transfers {
		if transfer.Debit.Name() != ledger.MerchantPayable("shop") {
			t.Fatalf("%s pays for the refund", transfer.Debit.Name())
		}
		moved[transfer.Credit.Name()] = moved[transfer.Credit.Name()].Add(transfer.Amount)
	}
	want := map[ledger.AccountName]money.Amount{}
	var sum money.Amount
	for i, l := range j.order.Legs {
		part := l.Refunded.Sub(before[i].Refunded)
		sum = sum.Add(part)
		name := ledger.ChannelRefunding(l.Source)
		switch {
		case l.Source == tasks.SourceReward:
			name = ledger.UserReward("ada")
		case l.Source == tasks.SourceCash || p.To == tasks.ToBalance || p.IfRefused == tasks.FallBackToBalance && j.beyond(before[i]):
			name = ledger.UserCash("ada")
		}
		if part.IsPositive() {
			want[name] = want[name].Add(part)
		}
	}
	if sum != p.Amount || fmt.Sprint(moved) != fmt.Sprint(want) {
		t.Fatalf("refund of %s: legs gave back %s, moved %v, want %v", p.Amount, sum, moved, want)
	}
	j.checkFollowUps(t, p, d, before, moved)
}

// beyond judges a channel's limits from the leg as it was before a refund.
func (j *journey) beyond(before ledger.Leg) bool {
	limit := j.state.Policy().RefundLimits[before.Source]
	hours := j.state.At().Sub(j.order.CapturedAt).Hours()
	return limit.DaysMax > 0 && hours > float64(24*limit.DaysMax) || limit.RefundsMax > 0 && before.Asked >= limit.RefundsMax
}

func (j *journey) checkFollowUps(t *rapid.T, p *tasks.Refund, d ledger.Decision, before []ledger.Leg, moved map[ledger.AccountName]money.Amount) {
	asked := map[ledger.AccountName]money.Amount{}
	for _, payload := range d.FollowUps {
		o, ok := payload.(*tasks.RefundOrder)
		if !ok || j.numbers[o.Number] || o.RefundID != p.RefundID || o.Consented != (p.IfRefused == tasks.FallBackToBalance) ||
			j.beyond(before[o.Leg]) {
			t.Fatalf("follow-up %+v", payload)
		}
		j.numbers[o.Number] = true
		asked[ledger.ChannelRefunding(o.Channel)] = o.Amount
	}
	for _, c := range d.Cases {
		if c.Kind != ledger.UnreturnableRefund || p.IfRefused != "" || !asked[c.Account].IsZero() {
			t.Fatalf("case %+v", c)
		}
		asked[c.Account] = c.Amount
	}
	for _, channel := range tasks.Channels() {
		if name := ledger.ChannelRefunding(channel); asked[name] != moved[name] {
			t.Fatalf("%s is asked for %s, and %s wait for it", channel, asked[name], moved[name])
		}
	}
}

// finish refunds exactly what remains, which must be possible and empty every leg (R1).
func (j *journey) finish(t *rapid.T, byLines bool) {
	if j.order.Remaining().IsZero() {
		return
	}
	p := refundOf(j.order.Remaining().Fen())
	p.RefundID = "last"
	for left, i := p.Amount, 0; byLines && left.IsPositive(); i++ {
		// Refunds without lines leave the lines with more than the order has: any lines will do.
		amount := money.Min(left, refund.LineRemaining(&j.order.Lines[i]))
		if amount.IsPositive() {
			p.Lines, left = append(p.Lines, tasks.LineRefund{LineID: j.order.Lines[i].ID, Amount: amount}), left.Sub(amount)
		}
	}
	j.refund(t, p)
	for i, l := range j.order.Legs {
		if !l.Remaining().IsZero() {
			t.Fatalf("after the last refund leg %d has %s left", i, l.Remaining())
		}
	}
}

func TestPartialRefundsAreExactMaximalAndNeverTooMuch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.IntRange(0, 6).Draw(t, "number of lines")
		j := newJourney(t, drawOrder(t, lines))
		for i := range rapid.IntRange(0, 12).Draw(t, "refunds") {
			byLines := lines > 0 && rapid.Bool().Draw(t, "by lines")
			j.refund(t, drawRefund(t, j.order, fmt.Sprintf("r%d", i), byLines))
		}
		j.finish(t, lines > 0 && rapid.Bool().Draw(t, "last by lines"))
	})
}

func TestLinesRefundedByThemselvesNeverTakeFromEachOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := newJourney(t, drawOrder(t, rapid.IntRange(1, 6).Draw(t, "number of lines")))
		for i := range rapid.IntRange(0, 12).Draw(t, "refunds") {
			j.refund(t, drawRefund(t, j.order, fmt.Sprintf("r%d", i), true))
		}
		j.finish(t, true)
		for _, line := range j.order.Lines {
			for leg := range line.Allocated {
				if line.Refunded[leg] != line.Allocated[leg] {
					t.Errorf("leg %d paid %s of line %s and got %s back", leg, line.Allocated[leg], line.ID, line.Refunded[leg])
				}
			}
		}
	})
}

func TestPlanChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t, 3)
		before := fmt.Sprintf("%+v", *o)
		p := drawRefund(t, o, "r1", rapid.Bool().Draw(t, "by lines"))
		policy := tasks.DefaultPolicy()
		first, refusal := refund.NewPlan(o, p, &policy, occurredAt)
		second, _ := refund.NewPlan(o, p, &policy, occurredAt)
		if after := fmt.Sprintf("%+v", *o); after != before || first.String() != second.String() {
			t.Errorf("the order was %s, is %s; plans %s and %s", before, after, first, second)
		}
		if (refusal == nil) != (expected(o, p) == "") {
			t.Errorf("refused %+v, want %q", refusal, expected(o, p))
		}
	})
}
