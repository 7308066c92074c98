package simulate

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// failedReason is why refunds fail here. Dialects have their own words for it.
const failedReason = "the payer's account is closed"

// closedReason is that of refunds for which the merchant had too little money for too long.
const closedReason = "CLOSED"

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

// left is what can still be refunded. The desk's mu is held.
func (p *payment) left(now time.Time) money.Amount {
	left := p.Amount
	for _, r := range p.refunds {
		if r.holds(now) {
			left = left.Sub(r.line.Amount)
		}
	}
	return left
}

// refund is a refund at its desk. How it ends is known from the start, and told once the time has come; a failure may be revised once.
type refund struct {
	line     refundLine
	payment  *payment
	notice   *notice
	revision *notice // that it is paid after all; nil while it is not to be
	written  *group  // nil: read from the journal
}

// notices are those of the refund's end or ends. The desk's mu is held.
func (r *refund) notices() []*notice {
	if r.revision == nil {
		return []*notice{r.notice}
	}
	return []*notice{r.notice, r.revision}
}

// holds says whether the refund's money is not the payment's any more, or will not be.
func (r *refund) holds(now time.Time) bool {
	return r.line.End == channel.RefundSucceeded || now.Before(r.line.EndsAt) || r.revision != nil
}

// paidAt is when the refund is paid; false when it never is.
func (r *refund) paidAt() (time.Time, bool) {
	if r.revision != nil {
		return r.line.RevisedAt, true
	}
	return r.line.EndsAt, r.line.End == channel.RefundSucceeded
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
	fate := fmt.Sprintf("%s/%d", order.OutTradeNo, len(before))
	l.Lost = order.Lost || d.dice.hits(d.faults.Lost, "lost", fate)
	if d.dice.hits(d.faults.WrongAmounts, "wrong_amounts", fate) {
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
	p.notice = &notice{desk: d, payment: p, url: l.NotifyURL, lost: l.Lost, due: l.PaidAt, state: NoticeWaiting}
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
func (d *desk) Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (_ Refund, drop, err error) {
	d.mu.Lock()
	r, known, err := d.take(number, channelTxnID, outTradeNo, amount)
	switch {
	case err != nil || known:
	case d.dice.hits(d.faults.LostAnswers, "lost_answers", number):
		drop = http.ErrAbortHandler
	case d.dice.hits(d.faults.HangingAnswers, "hanging_answers", number):
		drop = ErrHanging
	}
	var written *group
	var news []*notice
	if err == nil {
		written = r.written
	}
	if err == nil && !known {
		news = r.notices()
	}
	d.mu.Unlock()
	if err != nil {
		return Refund{}, nil, fmt.Errorf("refund %s: %w", number, err)
	}
	if err := d.settle(written); err != nil {
		return Refund{}, nil, err
	}
	for _, n := range news {
		d.notify(n)
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
	if !amount.IsPositive() || amount.Cmp(p.left(now)) > 0 {
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
	if d.dice.hits(d.faults.ClosedRefunds, "closed_refunds", number) {
		l.End, l.Reason = channel.RefundFailed, closedReason
	}
	if d.dice.hits(d.faults.RevisedRefunds, "revised_refunds", number) {
		l.End, l.Reason, l.RevisedAt = channel.RefundFailed, failedReason, l.EndsAt.Add(max(d.slow, 1))
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
	if !l.RevisedAt.IsZero() {
		d.keepRevision(r, l.RevisedAt)
	}
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
	told, written := d.tell(r), r.written
	d.mu.Unlock()
	return told, d.settle(written) == nil // else it is not known for certain, and must not be told
}

// tell is the refund as it stands now. The caller holds mu.
func (d *desk) tell(r *refund) Refund {
	now := d.clock.Now()
	switch {
	case now.Before(r.line.EndsAt):
		return r.told(channel.RefundProcessing)
	case r.revision != nil && !now.Before(r.line.RevisedAt):
		return r.told(channel.RefundSucceeded)
	default:
		return r.told(r.line.End)
	}
}

// told is the refund in one of the states that it comes to be in. The desk's mu is held.
func (r *refund) told(state channel.RefundState) Refund {
	told := Refund{Number: r.line.Number, ChannelRefundID: r.line.ChannelRefundID, Payment: r.payment.Payment, Amount: r.line.Amount,
		State: state, AcceptedAt: wholeSecond(r.line.AcceptedAt)}
	switch state {
	case channel.RefundSucceeded:
		paid, _ := r.paidAt()
		told.EndedAt, told.RefundedTotal = wholeSecond(paid), r.total()
	case channel.RefundFailed:
		told.EndedAt, told.Reason = wholeSecond(r.line.EndsAt), r.line.Reason
	case channel.RefundProcessing:
	}
	return told
}

// total is what was refunded of the payment when the refund had been made: those that were paid before, in the order in which they were
// taken where they were paid at once. A refund that is taken later is paid later, so that the total of one that was paid stays.
func (r *refund) total() money.Amount {
	sum, later := money.Amount{}, false
	paid, _ := r.paidAt()
	for _, other := range r.payment.refunds {
		at, isPaid := other.paidAt()
		if isPaid && (at.Before(paid) || at.Equal(paid) && !later) {
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
