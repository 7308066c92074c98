package simulate

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// failedReason is why refunds fail here. Dialects have their own words for it.
const failedReason = "the payer's account is closed"

// desk is the state of one channel, and implements Desk for its interfaces. Its methods may be called at the same time.
type desk struct {
	dialect KeyedDialect
	source  tasks.Source
	clock   clock.Clock
	journal *journal
	notify  func(*notice) // sends a notice, unless it was acknowledged

	mu       sync.Mutex // guards what follows, and what it points to but notices
	faults   Faults
	dice     dice
	slow     time.Duration // how long a slow refund takes, scaled
	payments []*payment    // in the journal's order, as refunds
	refunds  []*refund
	byTxnID  map[string]*payment
	byNumber map[string]*refund    // by the merchant's number
	byOrder  map[string][]*payment // by out_trade_no
	orders   map[string]*ordered   // that were opened before they were paid, by out_trade_no
	next     chan struct{}         // closed by the next delivery of a notice; nil while nobody waits for it
}

// payment is a payment at its desk. Only refunds changes once it is there.
type payment struct {
	Payment
	asked     money.Amount
	orderedAt time.Time
	notice    *notice
	refunds   []*refund
	written   *group // nil: read from the journal
}

// refund is a refund at its desk. It never changes: how it ends is known from the start, and told once the time has come.
type refund struct {
	line    refundLine
	payment *payment
	notice  *notice
	written *group // nil: read from the journal
}

// pay takes a payment of an order, or finds the one that was taken for the same amount. It returns once the payment is on the disk.
func (d *desk) pay(order Order) (_ *payment, replayed bool, err error) {
	d.mu.Lock()
	before := d.byOrder[order.OutTradeNo]
	if o := d.orders[order.OutTradeNo]; o != nil && o.closed {
		d.mu.Unlock()
		return nil, false, fmt.Errorf("pay %s: %w", order.OutTradeNo, ErrClosed)
	}
	if len(before) > 0 && !order.Again {
		d.mu.Unlock()
		if before[0].asked != order.Amount {
			return nil, false, fmt.Errorf("pay %s: %w, with another amount", order.OutTradeNo, ErrPaid)
		}
		return before[0], true, d.settle(before[0].written)
	}
	l := paymentLine{Channel: d.source, OutTradeNo: order.OutTradeNo, ChannelTxnID: newNumber(d.clock.Now()), Asked: order.Amount,
		Amount: order.Amount, NotifyURL: order.NotifyURL, OrderedAt: order.OrderedAt, PaidAt: wholeSecond(d.clock.Now())}
	if fate := fmt.Sprintf("%s/%d", order.OutTradeNo, len(before)); d.dice.hits(d.faults.WrongAmounts, "wrong_amounts", fate) {
		l.Amount = wrong(order.Amount, d.dice.roll(2, "wrong_amounts by", fate) == 0)
	}
	p := d.keepPayment(l)
	p.written = d.journal.add(line{Payment: &l})
	d.mu.Unlock()
	if err := d.settle(p.written); err != nil {
		return nil, false, err
	}
	d.notify(p.notice)
	return p, false, nil
}

// wrong is a fen less, or more, but something.
func wrong(asked money.Amount, less bool) money.Amount {
	fen := money.FromFen(1)
	if less && asked.Cmp(fen) > 0 {
		return asked.Sub(fen)
	}
	return asked.Add(fen)
}

// keepPayment adds a payment to the desk. The caller holds mu, or is alone.
func (d *desk) keepPayment(l paymentLine) *payment {
	p := &payment{Payment: Payment{OutTradeNo: l.OutTradeNo, ChannelTxnID: l.ChannelTxnID, Amount: l.Amount, PaidAt: l.PaidAt}, asked: l.Asked,
		orderedAt: l.OrderedAt}
	p.notice = &notice{desk: d, payment: p, url: l.NotifyURL, due: l.PaidAt, state: NoticeWaiting}
	d.payments = append(d.payments, p)
	d.byTxnID[p.ChannelTxnID] = p
	d.byOrder[p.OutTradeNo] = append(d.byOrder[p.OutTradeNo], p)
	return p
}

// Payment implements Desk. Of several payments of one order it finds the first.
func (d *desk) Payment(channelTxnID, outTradeNo string) (Payment, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.find(channelTxnID, outTradeNo)
	if p == nil {
		return Payment{}, false
	}
	return p.Payment, true
}

func (d *desk) find(channelTxnID, outTradeNo string) *payment {
	if channelTxnID != "" {
		return d.byTxnID[channelTxnID]
	}
	if paid := d.byOrder[outTradeNo]; len(paid) > 0 {
		return paid[0]
	}
	return nil
}

// Refund implements Desk. It returns once the refund is on the disk.
func (d *desk) Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (Refund, bool, error) {
	d.mu.Lock()
	r, known, err := d.take(number, channelTxnID, outTradeNo, amount)
	drop := err == nil && !known && d.dice.hits(d.faults.LostAnswers, "lost_answers", number)
	d.mu.Unlock()
	if err != nil {
		return Refund{}, false, fmt.Errorf("refund %s: %w", number, err)
	}
	if err := d.settle(r.written); err != nil {
		return Refund{}, false, err
	}
	if !known {
		d.notify(r.notice)
	}
	told, _ := d.Refunded(number)
	return told, drop, nil
}

// take finds the refund of the number, or makes one. The caller holds mu.
func (d *desk) take(number, channelTxnID, outTradeNo string, amount money.Amount) (_ *refund, known bool, err error) {
	p := d.find(channelTxnID, outTradeNo)
	if p == nil {
		return nil, false, ErrUnknownPayment
	}
	if r := d.byNumber[number]; r != nil {
		if r.payment != p || r.line.Amount != amount {
			return nil, false, ErrNumberTaken
		}
		return r, true, nil
	}
	now := d.clock.Now().UTC().Round(0) // to the nanosecond: rounded, two refunds of a second would end in another order than they were taken
	left := p.Amount
	for _, r := range p.refunds {
		if r.line.End == channel.RefundSucceeded || now.Before(r.line.EndsAt) {
			left = left.Sub(r.line.Amount)
		}
	}
	if !amount.IsPositive() || amount.Cmp(left) > 0 {
		return nil, false, ErrTooMuch
	}
	l := refundLine{Channel: d.source, Number: number, ChannelRefundID: newNumber(now), ChannelTxnID: p.ChannelTxnID, Amount: amount,
		AcceptedAt: now, EndsAt: now, End: channel.RefundSucceeded}
	if d.dice.hits(d.faults.SlowRefunds, "slow_refunds", number) {
		l.EndsAt = now.Add(d.slow)
	}
	if d.dice.hits(d.faults.FailedRefunds, "failed_refunds", number) {
		l.End, l.Reason = channel.RefundFailed, failedReason
	}
	r := d.keepRefund(l, p)
	r.written = d.journal.add(line{Refund: &l})
	return r, false, nil
}

// keepRefund adds a refund to the desk. The caller holds mu, or is alone.
func (d *desk) keepRefund(l refundLine, p *payment) *refund {
	r := &refund{line: l, payment: p}
	r.notice = &notice{desk: d, refund: r, due: l.EndsAt, state: NoticeWaiting}
	d.refunds = append(d.refunds, r)
	d.byNumber[l.Number] = r
	p.refunds = append(p.refunds, r)
	return r
}

// Refunded implements Desk.
func (d *desk) Refunded(number string) (Refund, bool) {
	d.mu.Lock()
	r := d.byNumber[number]
	if r == nil {
		d.mu.Unlock()
		return Refund{}, false
	}
	told := d.tell(r)
	d.mu.Unlock()
	return told, d.settle(r.written) == nil // else it is not known for certain, and must not be told
}

// tell is the refund as it stands now. The caller holds mu.
func (d *desk) tell(r *refund) Refund {
	told := Refund{Number: r.line.Number, ChannelRefundID: r.line.ChannelRefundID, Payment: r.payment.Payment, Amount: r.line.Amount,
		State: channel.RefundProcessing, AcceptedAt: wholeSecond(r.line.AcceptedAt)}
	if d.clock.Now().Before(r.line.EndsAt) {
		return told
	}
	told.State, told.Reason, told.EndedAt = r.line.End, r.line.Reason, wholeSecond(r.line.EndsAt)
	if told.State == channel.RefundSucceeded {
		told.RefundedTotal = r.total()
	}
	return told
}

// total is what was refunded of the payment when the refund had been made: those that ended before, in the order in which they were
// taken where they ended at once. A refund that is taken later ends later, so that the total of one that has ended stays.
func (r *refund) total() money.Amount {
	sum, later := money.Amount{}, false
	for _, other := range r.payment.refunds {
		before := other.line.EndsAt.Before(r.line.EndsAt) || other.line.EndsAt.Equal(r.line.EndsAt) && !later
		if other.line.End == channel.RefundSucceeded && before {
			sum = sum.Add(other.line.Amount)
		}
		later = later || other == r
	}
	return sum
}

// Now implements Desk.
func (d *desk) Now() time.Time { return d.clock.Now() }

// misbehaviour is how the desk misbehaves now.
func (d *desk) misbehaviour() (Faults, dice) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults, d.dice
}

// nextDelivery is closed when another notice of the desk was delivered.
func (d *desk) nextDelivery() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == nil {
		d.next = make(chan struct{})
	}
	return d.next
}

// delivered lets those go that wait for a delivery.
func (d *desk) delivered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next != nil {
		close(d.next)
		d.next = nil
	}
}

// settle waits until what was added to the journal is on the disk.
func (d *desk) settle(written *group) error {
	if written == nil {
		return nil
	}
	return d.journal.wait(written)
}

// newNumber is a number of the channel's own: 28 digits, of which the first eight are the day.
func newNumber(at time.Time) string {
	const digits = 20
	number := []byte(at.In(clock.Shanghai).Format("20060102"))
	for _, random := range []byte(rand.Text())[:digits] {
		number = append(number, '0'+random%10)
	}
	return string(number)
}

// wholeSecond is a time as channels write it.
func wholeSecond(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }
