package wechat

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/tasks"
)

// ordersPath is where orders are asked about; an order's own path has its number after it.
const ordersPath = "/v3/pay/transactions/out-trade-no"

// QueryPayment implements channel.PaymentQuerier. It returns channel.ErrUnpaid, channel.ErrUnknownNumber, or the errors of Refund, and
// channel.ErrNotOurs when the order is another merchant's or app's.
func (c *Channel) QueryPayment(ctx context.Context, order channel.PaymentOrder) (channel.Notice, error) {
	path := ordersPath + "/" + url.PathEscape(order.OutTradeNo) + "?mchid=" + url.QueryEscape(c.mchID)
	reply, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	if reply.status != http.StatusOK {
		refusal := reply.refusal()
		if reply.knowsNone(refusal, codeNoOrder) {
			return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, channel.ErrUnknownNumber)
		}
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, reply.problem(refusal))
	}
	notice, err := c.paymentAnswer(reply, order)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	return notice, nil
}

// paymentAnswer reads what an answer of status 200 says of the order (W5). What is not paid has neither an amount nor a time that could be
// relied on.
func (c *Channel) paymentAnswer(a *answer, order channel.PaymentOrder) (channel.Notice, error) {
	if a.verified != nil {
		return channel.Notice{}, fmt.Errorf("verify answer: %w", a.verified)
	}
	content, err := strictjson.Parse(a.body)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: answer %w", channel.ErrMalformed, err)
	}
	var r reading
	notice := channel.Notice{Channel: tasks.SourceWeChat}
	r.order(content, &notice)
	if notice.OutTradeNo != order.OutTradeNo {
		r.refuse("out_trade_no", "is another order's")
	}
	unpaid := false
	switch state := r.text(content, "trade_state"); state {
	case "SUCCESS", "REFUND":
		r.payment(content, &notice)
		notice.Refunded = state == "REFUND"
	case "CLOSED", "REVOKED":
		notice.Event = channel.EventClosed
	case "NOTPAY", "USERPAYING", "ACCEPT", "PAYERROR": // a payer whose attempt has failed may make another
		unpaid = true
	default:
		r.refuse("trade_state", "is unknown")
	}
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	if err := c.checkOurs(notice); err != nil {
		return channel.Notice{}, err
	}
	if unpaid {
		return channel.Notice{}, channel.ErrUnpaid
	}
	return notice, nil
}
