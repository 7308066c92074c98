package simulate

import (
	"fmt"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// ordered is an order that was opened before it was paid.
type ordered struct {
	line    orderLine
	closed  bool
	written *group // of the last line; nil: read from the journal
}

// Order opens an order that waits for its payer, as a merchant does before it shows a code to pay; Again and NotifyURL mean nothing. It
// returns once the order is on the disk. The same order again changes nothing. It returns ErrOrdered, a *tasks.FieldError, or the disk's
// error.
func (s *Simulator) Order(order Order) error {
	d, err := s.deskOf(order.Channel)
	if err == nil {
		err = order.check()
	}
	if err != nil {
		return err
	}
	return d.open(order)
}

// CloseOrder closes an order that nobody has paid: it cannot be paid any more. Closing it twice changes nothing. It returns ErrNotOrdered,
// ErrPaid, a *tasks.FieldError, or the disk's error.
func (s *Simulator) CloseOrder(source tasks.Source, outTradeNo string) error {
	d, err := s.deskOf(source)
	if err != nil {
		return err
	}
	return d.close(outTradeNo)
}

// deskOf is the desk of a channel.
func (s *Simulator) deskOf(source tasks.Source) (*desk, error) {
	if d := s.desks[source]; d != nil {
		return d, nil
	}
	return nil, &tasks.FieldError{Field: "channel", Problem: "is not simulated here", Allowed: strings.Join(s.channels(), ", ")}
}

// open keeps an order, once.
func (d *desk) open(order Order) error {
	d.mu.Lock()
	o, l := d.orders[order.OutTradeNo], orderLine{d.source, order.OutTradeNo, order.Amount, order.OrderedAt}
	switch {
	case o == nil && len(d.byOrder[order.OutTradeNo]) > 0, o != nil && (o.line.Amount != l.Amount || !o.line.OrderedAt.Equal(l.OrderedAt)):
		d.mu.Unlock()
		return fmt.Errorf("open %s: %w", order.OutTradeNo, ErrOrdered)
	case o == nil:
		o = d.keepOrder(l)
		o.written = d.journal.add(line{Order: &l})
	}
	written := o.written
	d.mu.Unlock()
	return d.settle(written)
}

// keepOrder adds an order to the desk. The caller holds mu, or is alone.
func (d *desk) keepOrder(l orderLine) *ordered {
	o := &ordered{line: l}
	d.orders[l.OutTradeNo] = o
	return o
}

// close closes an order, once.
func (d *desk) close(outTradeNo string) error {
	d.mu.Lock()
	o := d.orders[outTradeNo]
	var refused error
	switch {
	case len(d.byOrder[outTradeNo]) > 0:
		refused = ErrPaid
	case o == nil:
		refused = ErrNotOrdered
	}
	if refused != nil {
		d.mu.Unlock()
		return fmt.Errorf("close %s: %w", outTradeNo, refused)
	}
	if !o.closed {
		o.closed = true
		o.written = d.journal.add(line{Closed: &closedLine{d.source, outTradeNo}})
	}
	written := o.written
	d.mu.Unlock()
	return d.settle(written)
}

// Ordered implements Desk.
func (d *desk) Ordered(outTradeNo string) (Ordered, bool) {
	d.mu.Lock()
	o, p := d.orders[outTradeNo], d.find("", outTradeNo)
	if o == nil && p == nil {
		d.mu.Unlock()
		return Ordered{}, false
	}
	var told Ordered
	var written *group
	if o != nil {
		told, written = Ordered{State: OrderUnpaid, Amount: o.line.Amount, OrderedAt: o.line.OrderedAt}, o.written
		if o.closed {
			told.State = OrderClosed
		}
	}
	if p != nil {
		told.State, told.Payment, told.Refunded, written = OrderPaid, p.Payment, p.refunded(d.clock.Now()), p.written
		if o == nil {
			told.Amount, told.OrderedAt = p.asked, p.orderedAt
		}
	}
	d.mu.Unlock()
	return told, d.settle(written) == nil // else it is not known for certain, and must not be told
}

// refunded is what was refunded of the payment by then.
func (p *payment) refunded(now time.Time) money.Amount {
	var sum money.Amount
	for _, r := range p.refunds {
		if r.line.End == channel.RefundSucceeded && !now.Before(r.line.EndsAt) {
			sum = sum.Add(r.line.Amount)
		}
	}
	return sum
}
