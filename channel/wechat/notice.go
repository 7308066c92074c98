package wechat

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/tasks"
)

// NoticeBytesMax bounds the body of a notice. Real ones have one to four kilobytes; the documented bound of the ciphertext is a mebibyte.
const NoticeBytesMax = 1<<20 + 1<<16

// The event types that are read.
const (
	eventPaid           = "TRANSACTION.SUCCESS"
	eventRefundSuccess  = "REFUND.SUCCESS"
	eventRefundAbnormal = "REFUND.ABNORMAL"
	eventRefundClosed   = "REFUND.CLOSED"
)

// ReadNotice implements channel.Port: it verifies, decrypts and reads a notice, and returns channel.ErrNotGenuine, ErrProbe,
// ErrStale, ErrMalformed or ErrNotOurs, wrapped.
func (c *Channel) ReadNotice(header http.Header, body []byte, now time.Time) (channel.Notice, error) {
	if len(body) > NoticeBytesMax {
		return channel.Notice{}, fmt.Errorf("%w: body has %d bytes", channel.ErrMalformed, len(body))
	}
	if err := c.keys.verify(header, body, now); err != nil {
		return channel.Notice{}, fmt.Errorf("verify notice: %w", err)
	}
	message, err := strictjson.Parse(body)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: body %w", channel.ErrMalformed, err)
	}
	var r reading
	notice := channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventOther, ID: r.id(message, "id"),
		OccurredAt: r.time(message, "create_time")}
	event := r.text(message, "event_type")
	var read func(strictjson.Object, string, *channel.Notice) error
	switch event {
	case eventPaid:
		read = c.readPayment
	case eventRefundSuccess, eventRefundAbnormal, eventRefundClosed:
		read = c.readRefund
	default:
		if r.err != nil {
			return channel.Notice{}, fmt.Errorf("%w: %w", channel.ErrMalformed, r.err)
		}
		return notice, nil
	}
	resource := r.object(message, "resource")
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: %w", channel.ErrMalformed, r.err)
	}
	plaintext, err := openResource(c.aead, resource)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: resource's %w", channel.ErrMalformed, err)
	}
	content, err := strictjson.Parse(plaintext)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: resource %w", channel.ErrMalformed, err)
	}
	if err := read(content, event, &notice); err != nil {
		return channel.Notice{}, err
	}
	return notice, nil
}

// readPayment completes the notice of a payment.
func (c *Channel) readPayment(content strictjson.Object, _ string, notice *channel.Notice) error {
	var r reading
	r.order(content, notice)
	r.payment(content, notice)
	if r.text(content, "trade_state") != "SUCCESS" {
		r.refuse("trade_state", "is not SUCCESS") // nor acknowledged: money may have moved that nobody would look at
	}
	if r.err != nil {
		return fmt.Errorf("%w: payment's %w", channel.ErrMalformed, r.err)
	}
	return c.checkOurs(*notice)
}

// order reads whose order a message is about, and which.
func (r *reading) order(content strictjson.Object, notice *channel.Notice) {
	notice.MerchantID, notice.AppID = r.id(content, "mchid"), r.id(content, "appid")
	notice.OutTradeNo = r.id(content, "out_trade_no")
}

// payment reads a payment, in a notice or in an answer, to the same values (W6).
func (r *reading) payment(content strictjson.Object, notice *channel.Notice) {
	amount := r.object(content, "amount")
	notice.Event = channel.EventPaid
	notice.ChannelTxnID = r.id(content, "transaction_id")
	notice.OccurredAt = r.time(content, "success_time")
	notice.Amount = r.fen(amount, "total")
	r.yuanOnly(amount, true)
}

// checkOurs refuses what is about an order of another merchant or app.
func (c *Channel) checkOurs(notice channel.Notice) error {
	if notice.MerchantID != c.mchID || notice.AppID != c.appID {
		return fmt.Errorf("%w: payment of merchant %s, app %s", channel.ErrNotOurs, notice.MerchantID, notice.AppID)
	}
	return nil
}

// readRefund completes the notice of a refund's end. Such notices name no app.
func (c *Channel) readRefund(content strictjson.Object, event string, notice *channel.Notice) error {
	var r reading
	amount, status := r.object(content, "amount"), r.text(content, "refund_status")
	notice.Event = channel.EventRefund
	notice.MerchantID, notice.RefundNumber = r.id(content, "mchid"), r.id(content, "out_refund_no")
	notice.OutTradeNo, notice.ChannelTxnID = r.id(content, "out_trade_no"), r.id(content, "transaction_id")
	notice.Amount = r.fen(amount, "refund")
	r.yuanOnly(amount, false)
	if event != "REFUND."+status {
		r.refuse("refund_status", "differs from the event's type")
	}
	notice.Refund = r.refundAnswer(content, status)
	if !notice.Refund.EndedAt.IsZero() {
		notice.OccurredAt = notice.Refund.EndedAt
	}
	if r.err != nil {
		return fmt.Errorf("%w: refund's %w", channel.ErrMalformed, r.err)
	}
	if notice.MerchantID != c.mchID {
		return fmt.Errorf("%w: refund of merchant %s", channel.ErrNotOurs, notice.MerchantID)
	}
	return nil
}

const (
	statusAbnormal = "ABNORMAL"
	// ofMerchant begins the account that received a refund when it is the merchant's own: 商户基本账户 or 商户结算银行账户.
	ofMerchant = "商户"
)

// refundAnswer reads a refund's status, in a notice or in an answer, to the same value (W6). A success that went to the merchant's own
// account has paid no user: the refund was abnormal, and a person has taken the money back (W8).
func (r *reading) refundAnswer(content strictjson.Object, status string) channel.RefundAnswer {
	switch status {
	case "SUCCESS":
		if strings.HasPrefix(r.optionalText(content, "user_received_account"), ofMerchant) {
			return channel.RefundAnswer{State: channel.RefundFailed, Reason: statusAbnormal}
		}
		return channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: r.time(content, "success_time")}
	case "CLOSED", statusAbnormal:
		return channel.RefundAnswer{State: channel.RefundFailed, Reason: status}
	case "PROCESSING":
		return channel.RefundAnswer{State: channel.RefundProcessing}
	default:
		r.refuse("refund's status", "is unknown")
		return channel.RefundAnswer{}
	}
}
