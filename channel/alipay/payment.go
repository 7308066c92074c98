package alipay

import (
	"context"
	"fmt"
	"net/http"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// methodQueryPayment asks about an order.
const methodQueryPayment = "alipay.trade.query"

// paymentRequest is the content of a question about an order.
type paymentRequest struct {
	OutTradeNo string `json:"out_trade_no"`
}

// QueryPayment implements channel.PaymentQuerier. It returns channel.ErrUnpaid, channel.ErrUnknownNumber, or the errors of Refund, and
// channel.ErrNotOurs when the answer names another app or seller.
func (c *Channel) QueryPayment(ctx context.Context, order channel.PaymentOrder) (channel.Notice, error) {
	reply, err := c.call(ctx, methodQueryPayment, paymentRequest{order.OutTradeNo})
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	if refusal := reply.refusal(); refusal != nil {
		if refusal.SubCode == subCodeNoTrade && refusal.Status == http.StatusOK && reply.verified == nil {
			return channel.Notice{}, fmt.Errorf("query payment of %s: %w: %w", order.OutTradeNo, channel.ErrUnknownNumber, refusal)
		}
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, reply.problem(refusal))
	}
	notice, err := c.paymentAnswer(reply, order)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	return notice, nil
}

// paymentAnswer reads what the success of a call says of the order (A9).
func (c *Channel) paymentAnswer(a *answer, order channel.PaymentOrder) (channel.Notice, error) {
	if a.verified != nil {
		return channel.Notice{}, fmt.Errorf("verify answer: %w", a.verified)
	}
	r := &reading{from: a.node}
	notice := channel.Notice{Channel: tasks.SourceAlipay, MerchantID: c.sellerID, AppID: c.appID, OutTradeNo: r.id("out_trade_no", idBytesMax)}
	if notice.OutTradeNo != order.OutTradeNo {
		r.refuse("out_trade_no", "is another order's")
	}
	unpaid := false
	switch status := r.id("trade_status", idBytesMax); {
	case status == tradeSuccess, status == tradeFinished, status == tradeClosed && r.optional("send_pay_date") != "":
		r.payment(&notice)
		notice.Refunded = status == tradeClosed
	case status == tradeClosed:
		notice.Event = channel.EventClosed
	case status == tradeWaiting:
		unpaid = true
	default:
		r.refuse("trade_status", "is unknown")
	}
	if err := r.problem(); err != nil {
		return channel.Notice{}, err
	}
	if seller, app := r.optional("seller_id"), r.optional("app_id"); seller != "" && seller != c.sellerID || app != "" && app != c.appID {
		return channel.Notice{}, fmt.Errorf("%w: the answer names another seller or app", channel.ErrNotOurs)
	}
	if unpaid {
		return channel.Notice{}, channel.ErrUnpaid
	}
	return notice, r.problem()
}

// payment reads a payment to the values that its notice has. send_pay_date is the notice's gmt_payment.
func (r *reading) payment(notice *channel.Notice) {
	notice.Event, notice.OccurredAt = channel.EventPaid, r.time("send_pay_date")
	notice.ChannelTxnID, notice.Amount = r.id("trade_no", idBytesMax), r.yuan("total_amount")
	for _, name := range []string{"trans_currency", "settle_currency"} { // in answers about trades with abroad alone
		if currency := r.optional(name); currency != "" && currency != "CNY" {
			r.refuse(name, "is not CNY")
		}
	}
}
