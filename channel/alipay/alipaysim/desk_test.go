package alipaysim_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

// desk is a small simulate.Desk with one payment. The test sets its fields before it is asked.
type desk struct {
	now     time.Time
	end     channel.RefundState // of the refunds to come
	fails   error               // of the next refunds, instead of taking them
	drops   bool                // the answers to the next refunds
	payment simulate.Payment

	mu       sync.Mutex
	refunded money.Amount
	refunds  map[string]simulate.Refund
}

func newDesk() *desk {
	return &desk{now: noon, end: channel.RefundSucceeded, refunds: map[string]simulate.Refund{},
		payment: simulate.Payment{OutTradeNo: outTradeNo, ChannelTxnID: tradeNo, Amount: money.FromFen(100_00), PaidAt: paidAt}}
}

func (d *desk) Now() time.Time { return d.now }

func (d *desk) Payment(channelTxnID, outTradeNo string) (simulate.Payment, bool) {
	return d.payment, channelTxnID == d.payment.ChannelTxnID || channelTxnID == "" && outTradeNo == d.payment.OutTradeNo
}

func (d *desk) Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (simulate.Refund, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	payment, known := d.Payment(channelTxnID, outTradeNo)
	before, again := d.refunds[number]
	switch {
	case !known:
		return simulate.Refund{}, false, fmt.Errorf("refund %s: %w", number, simulate.ErrUnknownPayment)
	case d.fails != nil:
		return simulate.Refund{}, false, fmt.Errorf("refund %s: %w", number, d.fails)
	case again && before.Amount != amount:
		return simulate.Refund{}, false, fmt.Errorf("refund %s: %w", number, simulate.ErrNumberTaken)
	case again:
		return before, false, nil
	case d.refunded.Add(amount).Cmp(payment.Amount) > 0:
		return simulate.Refund{}, false, fmt.Errorf("refund %s: %w", number, simulate.ErrTooMuch)
	}
	taken := simulate.Refund{Number: number, Payment: payment, Amount: amount, State: d.end, AcceptedAt: d.now}
	if d.end == channel.RefundSucceeded {
		d.refunded = d.refunded.Add(amount)
		taken.RefundedTotal, taken.EndedAt = d.refunded, d.now
	}
	d.refunds[number] = taken
	return taken, d.drops, nil
}

func (d *desk) Refunded(number string) (simulate.Refund, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, known := d.refunds[number]
	return found, known
}
