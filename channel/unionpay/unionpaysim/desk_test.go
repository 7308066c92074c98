package unionpaysim_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

// desk is a small simulate.Desk. The test sets its fields before it is asked.
type desk struct {
	now     time.Time
	end     channel.RefundAnswer // of the refunds to come
	fails   error                // of the next refunds, instead of taking them
	drops   bool                 // the answers to the next refunds
	payment simulate.Payment

	mu      sync.Mutex
	refunds map[string]simulate.Refund
}

func (d *desk) Now() time.Time { return d.now }

func (d *desk) Payment(channelTxnID, outTradeNo string) (simulate.Payment, bool) {
	return d.payment, channelTxnID == d.payment.ChannelTxnID || channelTxnID == "" && outTradeNo == d.payment.OutTradeNo
}

func (d *desk) Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (simulate.Refund, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	payment, known := d.Payment(channelTxnID, outTradeNo)
	if !known {
		return simulate.Refund{}, false, fmt.Errorf("refund %s: %w", number, simulate.ErrUnknownPayment)
	}
	if d.fails != nil {
		return simulate.Refund{}, false, fmt.Errorf("refund %s: %w", number, d.fails)
	}
	if _, again := d.refunds[number]; !again {
		d.refunds[number] = simulate.Refund{Number: number, ChannelRefundID: "052603021959303028400", Payment: payment, Amount: amount,
			State: d.end.State, Reason: d.end.Reason, AcceptedAt: d.now, EndedAt: d.end.EndedAt}
	}
	return d.refunds[number], d.drops, nil
}

func (d *desk) Refunded(number string) (simulate.Refund, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, known := d.refunds[number]
	return found, known
}
