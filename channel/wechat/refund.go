package wechat

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/tasks"
)

// refundsPath is where refunds are asked for; a refund's own path has its number after it.
const refundsPath = "/v3/refund/domestic/refunds"

// refundRequest is the body of a refund. Of transaction_id and out_trade_no one is given.
type refundRequest struct {
	TransactionID string       `json:"transaction_id,omitempty"`
	OutTradeNo    string       `json:"out_trade_no,omitempty"`
	OutRefundNo   string       `json:"out_refund_no"`
	NotifyURL     string       `json:"notify_url,omitempty"`
	Amount        refundAmount `json:"amount"`
}

type refundAmount struct {
	Refund   int64  `json:"refund"` // in fen, as total
	Total    int64  `json:"total"`  // of the payment
	Currency string `json:"currency"`
}

// Refund implements channel.Refunder. A payment without a channel's number is named by the order's id, under which it was then made.
// Errors: an *AnswerError when WeChat Pay refused without saying for good, with channel.ErrRefused (C5), channel.ErrNotGenuine and the others of a signature when
// the answer does not verify, and those of the HTTP client. All mean unknown.
func (c *Channel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	request := refundRequest{TransactionID: order.ChannelTxnID, OutRefundNo: order.Number, NotifyURL: c.notifyURL,
		Amount: refundAmount{Refund: order.Amount.Fen(), Total: order.Captured.Fen(), Currency: "CNY"}}
	if order.ChannelTxnID == "" {
		request.OutTradeNo = order.OrderID
	}
	body, err := json.Marshal(request)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("word refund %s: %w", order.Number, err)
	}
	reply, err := c.call(ctx, http.MethodPost, refundsPath, body)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	if reply.status != http.StatusOK {
		refusal := reply.refusal()
		if refusal.Status == http.StatusForbidden && refusal.Code == codeAccountAbnormal && reply.verified == nil {
			return channel.RefundAnswer{State: channel.RefundFailed, Reason: codeAccountAbnormal}, nil
		}
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, reply.problem(refusal))
	}
	answer, err := reply.refund(order)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	return answer, nil
}

// Query implements channel.Refunder. It returns channel.ErrUnknownNumber, or the errors of Refund.
func (c *Channel) Query(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	reply, err := c.call(ctx, http.MethodGet, refundsPath+"/"+url.PathEscape(order.Number), nil)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	if reply.status != http.StatusOK {
		refusal := reply.refusal()
		if reply.knowsNone(refusal, codeNotExists) {
			return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, channel.ErrUnknownNumber)
		}
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, reply.problem(refusal))
	}
	answer, err := reply.refund(order)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	return answer, nil
}

// refund reads what an answer of status 200 says of the order (W5).
func (a *answer) refund(order tasks.RefundOrder) (channel.RefundAnswer, error) {
	if a.verified != nil {
		return channel.RefundAnswer{}, fmt.Errorf("verify answer: %w", a.verified)
	}
	content, err := strictjson.Parse(a.body)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("%w: answer %w", channel.ErrMalformed, err)
	}
	var r reading
	amount := r.object(content, "amount")
	if r.id(content, "out_refund_no") != order.Number {
		r.refuse("out_refund_no", "is another refund's")
	}
	if order.ChannelTxnID != "" && r.id(content, "transaction_id") != order.ChannelTxnID {
		r.refuse("transaction_id", "is another payment's")
	}
	if r.fen(amount, "refund") != order.Amount {
		r.refuse("refund", "is another amount")
	}
	r.yuanOnly(amount, false)
	read := r.refundAnswer(content, r.text(content, "status"))
	if r.err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	return read, nil
}
