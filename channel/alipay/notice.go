package alipay

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// How far notify_time may be from now. It has been seen to be the time of the delivery, not of the first one, but that is not
// documented: the last delivery is up to 25 hours after the first, and an hour is for clocks and queues.
const (
	noticeAgeMax   = 26 * time.Hour
	noticeAheadMax = 15 * time.Minute
)

// typeTrade is the notify_type of what is read.
const typeTrade = "trade_status_sync"

// The states of a trade.
const (
	tradeWaiting  = "WAIT_BUYER_PAY"
	tradeSuccess  = "TRADE_SUCCESS"
	tradeFinished = "TRADE_FINISHED"
	tradeClosed   = "TRADE_CLOSED"
)

// charsets are those in which ASCII is ASCII and no other character has a byte of & or =, as Alipay spells them, in lower case.
var charsets = []string{"utf-8", "gbk", "gb2312"}

// ReadNotice implements channel.Port: it verifies and reads a notice, and returns channel.ErrNotGenuine, ErrOtherRule, ErrStale,
// ErrMalformed or ErrNotOurs, wrapped. Only the body counts: the caller must not add the query's parameters to it.
func (c *Channel) ReadNotice(_ http.Header, body []byte, now time.Time) (channel.Notice, error) {
	message, err := parseForm(body)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: body %w", channel.ErrMalformed, err)
	}
	if err := c.verifyNotice(message, now); err != nil {
		return channel.Notice{}, fmt.Errorf("verify notice: %w", err)
	}
	if name := message.ambiguous(); name != "" {
		return channel.Notice{}, fmt.Errorf("%w: %s has another field inside", channel.ErrMalformed, name)
	}
	r := &reading{from: message}
	sentAt := r.time("notify_time")
	notice := channel.Notice{Channel: tasks.SourceAlipay, Event: channel.EventOther, ID: r.id("notify_id", noticeIDBytesMax),
		OccurredAt: sentAt}
	kind, appID := r.id("notify_type", idBytesMax), r.id("app_id", idBytesMax)
	if !slices.Contains(charsets, strings.ToLower(r.optional("charset"))) {
		r.refuse("charset", "is neither UTF-8 nor GBK")
	}
	switch {
	case r.err != nil:
		return channel.Notice{}, fmt.Errorf("%w: %w", channel.ErrMalformed, r.err)
	case now.Sub(sentAt) > noticeAgeMax || sentAt.Sub(now) > noticeAheadMax:
		return channel.Notice{}, fmt.Errorf("%w: sent at %s", channel.ErrStale, sentAt.Format(time.RFC3339))
	case appID != c.appID:
		return channel.Notice{}, fmt.Errorf("%w: app %s", channel.ErrNotOurs, appID)
	case kind != typeTrade:
		return notice, nil
	}
	r.trade(&notice)
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: trade's %w", channel.ErrMalformed, r.err)
	}
	if notice.Event != channel.EventOther && notice.MerchantID != c.sellerID {
		return channel.Notice{}, fmt.Errorf("%w: seller %s", channel.ErrNotOurs, notice.MerchantID)
	}
	return notice, nil
}

// verifyNotice checks who has signed a message (A1, A2). channel.ErrOtherRule may also mean that somebody has added an empty field.
func (c *Channel) verifyNotice(message form, now time.Time) error {
	if message.get("sign_type") != signType {
		return fmt.Errorf("%w: sign_type is not %s", channel.ErrNotGenuine, signType)
	}
	signature, serial := message.get("sign"), message.get("alipay_cert_sn")
	err := c.keys.verify(message.signedText(true), signature, serial, now)
	if err != nil && message.hasEmpty() && c.keys.verify(message.signedText(false), signature, serial, now) == nil {
		return fmt.Errorf("%w: %w, without the empty values", err, channel.ErrOtherRule)
	}
	return err
}

// trade completes the notice of a trade, by the table in doc.go.
func (r *reading) trade(notice *channel.Notice) {
	status, refunded := r.id("trade_status", idBytesMax), r.refunded()
	switch {
	case (status == tradeSuccess || status == tradeFinished) && !refunded:
		notice.Event, notice.OccurredAt = channel.EventPaid, r.time("gmt_payment")
	case (status == tradeSuccess || status == tradeClosed) && refunded:
		r.refund(notice)
	case status == tradeClosed:
		notice.Event, notice.OccurredAt = channel.EventClosed, r.time("gmt_close")
	case status == tradeFinished, status == tradeWaiting && !refunded:
		return
	default:
		r.refuse("trade_status", "is unknown, or not one of a refund")
	}
	notice.MerchantID, notice.AppID = r.id("seller_id", idBytesMax), r.id("app_id", idBytesMax)
	notice.OutTradeNo, notice.ChannelTxnID = r.id("out_trade_no", idBytesMax), r.id("trade_no", idBytesMax)
	if total := r.yuan("total_amount"); notice.Event != channel.EventRefund {
		notice.Amount = total
	} else if total.Cmp(notice.RefundedTotal) < 0 {
		r.refuse("refund_fee", "is more than total_amount")
	}
}

// refunded says whether the refund fields are there. It refuses some without the others (A4).
func (r *reading) refunded() bool {
	fee := r.optional("refund_fee")
	at, number, total := r.optional("gmt_refund") != "", r.optional("out_biz_no") != "", fee != "" && fee != "0.00"
	if at != number || at != total {
		r.refuse("refund", "has some of gmt_refund, out_biz_no and refund_fee, and not the others")
	}
	return at
}

// refund completes the notice of a refund. What is in refund_fee is the total.
func (r *reading) refund(notice *channel.Notice) {
	notice.Event, notice.OccurredAt = channel.EventRefund, r.time("gmt_refund")
	notice.RefundNumber, notice.RefundedTotal = r.id("out_biz_no", idBytesMax), r.yuan("refund_fee")
	notice.Refund = channel.RefundAnswer{State: channel.RefundSucceeded}
}
