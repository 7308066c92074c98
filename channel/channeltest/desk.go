package channeltest

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

// Desk is a small simulate.Desk with one payment, and orders that are not paid. The test sets its fields before it is asked.
type Desk struct {
	Paid            simulate.Payment
	OrderedAt       time.Time                   // when the order that is paid was ordered
	Unpaid          map[string]simulate.Ordered // by number
	At              time.Time                   // its time
	End             channel.RefundAnswer        // of the refunds to come
	ChannelRefundID string                      // of the refunds to come
	Fails           error                       // of the next refunds, instead of taking them
	Drops           bool                        // the answers to the next refunds

	mu       sync.Mutex
	refunded money.Amount
	refunds  map[string]simulate.Refund
}

// Now implements simulate.Desk.
func (d *Desk) Now() time.Time { return d.At }

// Payment implements simulate.Desk.
func (d *Desk) Payment(channelTxnID, outTradeNo string) (simulate.Payment, bool) {
	return d.Paid, channelTxnID == d.Paid.ChannelTxnID || channelTxnID == "" && outTradeNo == d.Paid.OutTradeNo
}

// Ordered implements simulate.Desk.
func (d *Desk) Ordered(outTradeNo string) (simulate.Ordered, bool) {
	if outTradeNo != d.Paid.OutTradeNo {
		found, known := d.Unpaid[outTradeNo]
		return found, known
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return simulate.Ordered{State: simulate.OrderPaid, Amount: d.Paid.Amount, OrderedAt: d.OrderedAt, Payment: d.Paid, Refunded: d.refunded}, true
}

// Refund implements simulate.Desk.
func (d *Desk) Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (_ simulate.Refund, drop, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	payment, known := d.Payment(channelTxnID, outTradeNo)
	before, again := d.refunds[number]
	switch {
	case !known:
		return simulate.Refund{}, nil, fmt.Errorf("refund %s: %w", number, simulate.ErrUnknownPayment)
	case d.Fails != nil:
		return simulate.Refund{}, nil, fmt.Errorf("refund %s: %w", number, d.Fails)
	case again && before.Amount != amount:
		return simulate.Refund{}, nil, fmt.Errorf("refund %s: %w", number, simulate.ErrNumberTaken)
	case again:
		return before, nil, nil
	case d.refunded.Add(amount).Cmp(payment.Amount) > 0:
		return simulate.Refund{}, nil, fmt.Errorf("refund %s: %w", number, simulate.ErrTooMuch)
	}
	taken := simulate.Refund{Number: number, ChannelRefundID: d.ChannelRefundID, Payment: payment, Amount: amount, State: d.End.State,
		Reason: d.End.Reason, AcceptedAt: d.At, EndedAt: d.End.EndedAt}
	if taken.State == channel.RefundSucceeded {
		d.refunded = d.refunded.Add(amount)
		taken.RefundedTotal = d.refunded
	}
	if d.refunds == nil {
		d.refunds = map[string]simulate.Refund{}
	}
	d.refunds[number] = taken
	if d.Drops {
		drop = http.ErrAbortHandler
	}
	return taken, drop, nil
}

// Refunded implements simulate.Desk.
func (d *Desk) Refunded(number string) (simulate.Refund, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, known := d.refunds[number]
	return found, known
}

// Taken are the refunds that were taken, by number.
func (d *Desk) Taken() map[string]simulate.Refund {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.refunds)
}
