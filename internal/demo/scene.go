package demo

import (
	"fmt"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// What rivals have in the morning, and what each of them is asked for three times: two can be had.
const (
	rivalCash  = 100_00
	rivalPrice = 40_00
)

// scenes are what can happen, with how often it does.
var scenes = []struct {
	weight int
	play   func(*planner) Scene
}{
	{140, (*planner).cashPayment},
	{100, (*planner).combinedPayment},
	{40, (*planner).threeWayPayment},
	{60, (*planner).paymentByLines},
	{60, (*planner).fullRefund},
	{60, (*planner).partialRefund},
	{40, (*planner).manyPartialRefunds},
	{30, (*planner).refundInCents},
	{40, (*planner).lineRefund},
	{20, (*planner).balanceRefund},
	{50, (*planner).refundBeforePayment},
	{5, (*planner).refundOfNothing},
	{30, (*planner).overRefund},
	{10, (*planner).overRefundOfLine},
	{30, (*planner).racingRefunds},
	{20, (*planner).strangersRefund},
	{10, (*planner).refundOfRefused},
	{30, (*planner).poorPayment},
	{10, (*planner).racingPayments},
	{10, (*planner).excludedLines},
	{5, (*planner).balanceOnly},
	{80, (*planner).send},
	{10, (*planner).poorSend},
	{5, (*planner).ghostSend},
	{40, (*planner).reward},
	{40, (*planner).topUp},
	{10, (*planner).wrongTopUp},
	{10, (*planner).usedTopUp},
}

// scene draws what happens next. When nobody can afford it, somebody is given a reward.
func (p *planner) scene() Scene {
	total := 0
	for _, s := range scenes {
		total += s.weight
	}
	draw := p.rng.IntN(total)
	for _, s := range scenes {
		if draw -= s.weight; draw < 0 {
			if scene := s.play(p); scene != nil {
				return p.withRepeats(scene)
			}
			break
		}
	}
	return p.reward()
}

func (p *planner) newOrder(userID string, legs ...leg) *order {
	return &order{id: p.id("or"), userID: userID, merchantID: p.merchant(), legs: legs}
}

// cashOrder is an order of any amount, paid by balance alone.
func (p *planner) cashOrder() *order {
	fen := p.between(1_00, 40_00)
	user := p.someoneWith(fen, 0)
	if user == nil {
		return nil
	}
	user.cash -= fen
	return p.newOrder(user.id, leg{tasks.SourceCash, fen})
}

// evenOrder is an order that cash and a channel pay in tenths: any refund of whole tenths of a yuan splits without a remainder.
func (p *planner) evenOrder() *order {
	tenths, fen := p.between(1, 9), 10*p.between(10, 600)
	cash := fen * tenths / 10
	user := p.someoneWith(cash, 0)
	if user == nil {
		return nil
	}
	user.cash -= cash
	return p.newOrder(user.id, leg{tasks.SourceCash, cash}, leg{p.channel(), fen - cash})
}

// oddOrder is an order of any amount that cash and a channel pay.
func (p *planner) oddOrder() *order {
	cash := p.between(1_00, 30_00)
	user := p.someoneWith(cash, 0)
	if user == nil {
		return nil
	}
	user.cash -= cash
	return p.newOrder(user.id, leg{tasks.SourceCash, cash}, leg{p.channel(), p.between(1_00, 50_00)})
}

// linedOrder is an even order with two or three lines of whole yuan, and sometimes a coupon that lowers all of them by a tenth.
func (p *planner) linedOrder() *order {
	var fen int64
	var lines []line
	for i := range p.between(2, 3) {
		price := 100 * p.between(5, 20)
		fen += price
		kinds := []tasks.LineKind{tasks.Goods, tasks.Goods, tasks.Shipping}
		lines = append(lines, line{fmt.Sprintf("line%d", i), kinds[i], price})
	}
	if p.chance(300) {
		lines = append(lines, line{"coupon", tasks.Coupon, fen / 10})
		fen -= fen / 10
	}
	cash := fen / 10 * p.between(1, 9)
	user := p.someoneWith(cash, 0)
	if user == nil {
		return nil
	}
	user.cash -= cash
	o := p.newOrder(user.id, leg{tasks.SourceCash, cash}, leg{p.channel(), fen - cash})
	o.lines = lines
	return o
}

func (p *planner) pay(o *order) Scene {
	if o == nil {
		return nil
	}
	return Scene{{Ask: o.payment(p.when())}}
}

func (p *planner) cashPayment() Scene { return p.pay(p.cashOrder()) }

func (p *planner) combinedPayment() Scene { return p.pay(p.oddOrder()) }

func (p *planner) threeWayPayment() Scene {
	reward, cash := p.between(1_00, 5_00), p.between(1_00, 20_00)
	user := p.someoneWith(cash, reward)
	if user == nil {
		return nil
	}
	user.cash, user.reward = user.cash-cash, user.reward-reward
	o := p.newOrder(user.id, leg{tasks.SourceReward, reward}, leg{tasks.SourceCash, cash}, leg{p.channel(), p.between(1, 30_00)})
	scene := p.pay(o)
	if p.chance(300) {
		scene = append(scene, Turn{Ask: o.refund(p.id("rf"), o.total(), p.when())})
	}
	return scene
}

func (p *planner) paymentByLines() Scene { return p.pay(p.linedOrder()) }

// thenRefund pays an order and asks for some of it back.
func (p *planner) thenRefund(o *order, amounts ...int64) Scene {
	scene := p.pay(o)
	for _, fen := range amounts {
		scene = append(scene, Turn{Ask: o.refund(p.id("rf"), fen, p.when())})
	}
	return scene
}

func (p *planner) fullRefund() Scene {
	o := p.oddOrder()
	if o == nil {
		return nil
	}
	return p.thenRefund(o, o.total())
}

// partialRefund is the order's only refund, so its split is known whatever the amount.
func (p *planner) partialRefund() Scene {
	o := p.oddOrder()
	if o == nil {
		return nil
	}
	return p.thenRefund(o, p.between(1, o.total()))
}

func (p *planner) manyPartialRefunds() Scene {
	o := p.evenOrder()
	if o == nil {
		return nil
	}
	var parts []int64
	left := o.total() / 10
	for range p.between(3, 6) {
		if left > 0 {
			part := p.between(1, max(1, left/2))
			parts, left = append(parts, 10*part), left-part
		}
	}
	return p.thenRefund(o, parts...)
}

// refundInCents gives an order that cash paid back in four odd parts, to the last fen.
func (p *planner) refundInCents() Scene {
	o := p.cashOrder()
	if o == nil {
		return nil
	}
	a, b := p.between(1, o.total()/4), p.between(1, o.total()/4)
	return p.thenRefund(o, a, b, 1, o.total()-a-b-1)
}

// lineRefund gives one line back: what was paid for it, which is less than its price where a coupon was used.
func (p *planner) lineRefund() Scene {
	o := p.linedOrder()
	if o == nil {
		return nil
	}
	return append(p.pay(o), Turn{Ask: o.refundLine(p.id("rf"), "line0", o.paidFor(0), p.when())})
}

// paidFor is what was paid for a line: its price, less a tenth where a coupon was used.
func (o *order) paidFor(i int) int64 {
	price := o.lines[i].fen
	if o.lines[len(o.lines)-1].kind == tasks.Coupon {
		return price - price/10
	}
	return price
}

func (p *planner) balanceRefund() Scene {
	o := p.oddOrder()
	if o == nil {
		return nil
	}
	return append(p.pay(o), Turn{Ask: o.refundToBalance(p.id("rf"), p.between(1, o.total()), p.when())})
}

func (p *planner) refundBeforePayment() Scene {
	o := p.oddOrder()
	if o == nil {
		return nil
	}
	return Scene{{Ask: o.refund(p.id("rf"), p.between(1, o.total()), p.when())}, p.pay(o)[0]}
}

// refundOfNothing asks for an order back that nobody ever pays.
func (p *planner) refundOfNothing() Scene {
	o := p.newOrder(p.anyone().id, leg{tasks.SourceCash, p.between(1_00, 50_00)})
	return Scene{{Ask: o.refund(p.id("rf"), o.total(), p.when()).parked()}}
}

func (p *planner) overRefund() Scene {
	o := p.oddOrder()
	if o == nil {
		return nil
	}
	scene := p.thenRefund(o, o.total()+p.between(1, 10_00))
	scene[1].Ask.rejected(tasks.ExceedsRefundable)
	return scene
}

// overRefundOfLine asks for more than one line cost, but not for more than the order did.
func (p *planner) overRefundOfLine() Scene {
	o := p.linedOrder()
	if o == nil {
		return nil
	}
	ask := o.refundLine(p.id("rf"), "line0", o.paidFor(0)+1, p.when()).rejected(tasks.ExceedsLine)
	if p.chance(300) {
		ask = o.refundLine(p.id("rf"), "gift", 1_00, p.when()).rejected(tasks.UnknownLine)
	}
	return append(p.pay(o), Turn{Ask: ask})
}

// racingRefunds asks three times for two fifths of an order: two of them can be had, whichever.
func (p *planner) racingRefunds() Scene {
	o := p.evenOrder()
	if o == nil {
		return nil
	}
	for i := range o.legs {
		o.legs[i].fen -= o.legs[i].fen % 5
	}
	if o.legs[0].fen == 0 || o.legs[1].fen == 0 {
		return nil
	}
	part := o.total() * 2 / 5
	scene := p.thenRefund(o, part, part, part)
	contest := &Contest{Name: "refunds of " + o.id, Wins: 2, Reason: tasks.ExceedsRefundable}
	for _, turn := range scene[1:] {
		turn.Ask.Contest = contest
	}
	return scene
}

// strangersRefund asks for another user's order.
func (p *planner) strangersRefund() Scene {
	o := p.oddOrder()
	if o == nil {
		return nil
	}
	scene := p.thenRefund(o, o.total())
	ask, stranger := scene[1].Ask, p.anyone().id
	if stranger == o.userID {
		return scene
	}
	ask.Payload.(*tasks.Refund).UserID = stranger
	ask.rejected(tasks.OrderOfAnotherUser)
	return scene
}

func (p *planner) refundOfRefused() Scene {
	o := p.newOrder(p.anyone().id, leg{tasks.SourceCash, hopeless})
	scene := p.thenRefund(o, p.between(1, 100_00))
	scene[0].Ask.rejected(tasks.InsufficientFunds)
	scene[1].Ask.rejected(tasks.PaymentRejected)
	return scene
}

func (p *planner) poorPayment() Scene {
	o := p.newOrder(p.anyone().id, leg{tasks.SourceCash, hopeless}, leg{p.channel(), p.between(1_00, 9_00)})
	scene := p.pay(o)
	scene[0].Ask.rejected(tasks.InsufficientFunds)
	return scene
}

// racingPayments asks a rival for the same price three times, of which the cash pays two. It is played once by each.
func (p *planner) racingPayments() Scene {
	if len(p.rivals) == 0 {
		return nil
	}
	rival := p.rivals[0]
	p.rivals = p.rivals[1:]
	contest := &Contest{Name: "payments of " + rival.id, Wins: rivalCash / rivalPrice, Reason: tasks.InsufficientFunds}
	merchant := p.merchant()
	var scene Scene
	for range contest.Wins + 1 {
		o := p.newOrder(rival.id, leg{tasks.SourceCash, rivalPrice})
		o.merchantID = merchant
		ask := o.payment(p.when())
		ask.Contest = contest
		scene = append(scene, Turn{Ask: ask})
	}
	return scene
}

// excludedLines pays a voucher by balance, which the policy does not allow.
func (p *planner) excludedLines() Scene {
	fen := p.between(1_00, 5_00)
	user := p.someoneWith(fen, 0)
	if user == nil {
		return nil
	}
	o := p.newOrder(user.id, leg{tasks.SourceCash, fen})
	o.lines = []line{{"voucher", tasks.Virtual, fen}}
	scene := p.pay(o)
	scene[0].Ask.rejected(tasks.ExcludedLines)
	return scene
}

// balanceOnly pays an order by a channel that is priced for payment by balance alone.
func (p *planner) balanceOnly() Scene {
	o := p.newOrder(p.anyone().id, leg{p.channel(), p.between(1_00, 20_00)})
	scene := p.pay(o)
	scene[0].Ask.Payload.(*tasks.Payment).BalanceExclusive = true
	scene[0].Ask.rejected(tasks.BalanceOnly)
	return scene
}

func (p *planner) send() Scene {
	fen := p.between(1, 20_00)
	from, to := p.someoneWith(fen, 0), p.anyone()
	if from == nil || from.id == to.id || from.sends == tasks.DefaultPolicy().TransfersPerDayMax {
		return nil
	}
	from.cash -= fen
	from.sends++
	return Scene{{Ask: p.transfer(from.id, to.id, fen)}}
}

func (p *planner) poorSend() Scene {
	from, to := p.anyone(), p.anyone()
	if from.id == to.id {
		return nil
	}
	return Scene{{Ask: p.transfer(from.id, to.id, hopeless).rejected(tasks.InsufficientFunds)}}
}

// ghostSend sends money of a user whom nobody has ever given any.
func (p *planner) ghostSend() Scene {
	return Scene{{Ask: p.transfer(p.id("ghost"), p.anyone().id, p.between(1, 9_00)).rejected(tasks.NoAccount)}}
}

func (p *planner) reward() Scene { return Scene{{Ask: p.grant(p.anyone().id, p.between(10, 5_00))}} }

// topUp is paid at a channel, which tells of it.
func (p *planner) topUp() Scene {
	return Scene{{Ask: paidAt(p.recharge(p.anyone().id, p.between(10_00, 300_00)))}}
}

// wrongTopUp is paid with a fen less than its order asks for: nobody gets it, and a person decides.
func (p *planner) wrongTopUp() Scene {
	asked := paidAt(p.recharge(p.anyone().id, p.between(10_00, 300_00)))
	recharge := asked.Payload.(*tasks.Recharge)
	fen := recharge.Amount.Fen() - 1
	ask := &Ask{Key: string(recharge.Channel) + "/" + recharge.ChannelTxnID, Fate: FateApplied, RechargeOrder: asked.RechargeOrder,
		Payload: &tasks.Suspension{Channel: recharge.Channel, ChannelTxnID: recharge.ChannelTxnID, OutTradeNo: recharge.RechargeID,
			Amount: money.FromFen(fen), Cause: tasks.WrongAmount, OccurredAt: recharge.OccurredAt}}
	ask.move(channelHolder(recharge.Channel), suspenseOf(recharge.Channel), fen)
	return Scene{{Ask: ask}}
}

// usedTopUp confirms a payment of the morning a second time, under a number of its own.
func (p *planner) usedTopUp() Scene {
	user := p.anyone()
	ask := p.recharge(user.id, user.fundedBy.Amount.Fen())
	recharge := ask.Payload.(*tasks.Recharge)
	recharge.Channel, recharge.ChannelTxnID = user.fundedBy.Channel, user.fundedBy.ChannelTxnID
	recharge.Amount = money.FromFen(user.fundedBy.Amount.Fen())
	return Scene{{Ask: ask.rejected(tasks.ChannelPaymentUsed)}}
}
