package ecny

import (
	"fmt"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/tasks"
)

// NoticeBytesMax bounds the body of a notice. Real ones have one or two kilobytes; the longest documented field has 8,000 characters.
const NoticeBytesMax = 128 << 10

const (
	// rememberedFor is how long the bank answers questions about an order. A notice of something older is a replay: the bank has sent it
	// again for a day, and a merchant that has missed them all finds the payment in a bill.
	rememberedFor = 15 * 24 * time.Hour
	// aheadMax is how far the bank's clock may be ahead of ours.
	aheadMax = 10 * time.Minute
)

// payType is the bank's word for digital RMB.
const payType = "EC"

// ReadNotice implements channel.Port: it verifies and reads a notice, and returns channel.ErrNotGenuine, ErrStale, ErrMalformed or
// ErrNotOurs, wrapped.
func (c *Channel) ReadNotice(_ http.Header, body []byte, now time.Time) (channel.Notice, error) {
	if len(body) > NoticeBytesMax {
		return channel.Notice{}, fmt.Errorf("%w: body has %d bytes", channel.ErrMalformed, len(body))
	}
	message, err := parseForm(body)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: body %w", channel.ErrMalformed, err)
	}
	if err := message.verify(c.bankKeys); err != nil {
		return channel.Notice{}, fmt.Errorf("verify notice: %w", err)
	}
	if message.isAnswer() {
		return channel.Notice{}, fmt.Errorf("%w: body is of an answer", channel.ErrMalformed)
	}
	content, err := strictjson.Parse([]byte(message[fieldContent]))
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: %s %w", channel.ErrMalformed, fieldContent, err)
	}
	r := &reading{content: content}
	notice := r.notice()
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: notice's %w", channel.ErrMalformed, r.err)
	}
	if notice.MerchantID != c.merID {
		return channel.Notice{}, fmt.Errorf("%w: notice for merchant %s", channel.ErrNotOurs, notice.MerchantID)
	}
	if age := now.Sub(notice.OccurredAt); age > rememberedFor || age < -aheadMax {
		return channel.Notice{}, fmt.Errorf("%w: tells of something %s before now", channel.ErrStale, age.Round(time.Second))
	}
	return notice, nil
}

// notice reads a content: a refund's has refundAmt, a payment's has txnAmt.
func (r *reading) notice() channel.Notice {
	notice := channel.Notice{Channel: tasks.SourceECNY, MerchantID: r.id("merId")}
	r.same("payType", payType, true)
	r.yuanOnly(true)
	if r.optional("refundAmt") != "" {
		notice.OccurredAt, _ = r.endedAt()
		r.refund(&notice)
	} else {
		r.payment(&notice)
	}
	return notice
}

// payment completes the notice of a payment. As documented it has no tradeState, because only payments that succeeded are told.
func (r *reading) payment(notice *channel.Notice) {
	notice.OutTradeNo, notice.ChannelTxnID = r.id("orderId"), r.id("cmbOrderId")
	amount := r.fen("txnAmt")
	at, told := r.endedAt()
	notice.OccurredAt = at
	switch r.optional("tradeState") {
	case "", "S":
		notice.Event, notice.Amount, notice.TimeUnknown = channel.EventPaid, amount, !told
	case "C", "D", "F": // closed, revoked, failed: all before any money moved
		notice.Event = channel.EventClosed
	case "P":
		notice.Event = channel.EventOther
	default: // R, refunded, too: it was paid, but a notice that says so is not documented, and money must not be acknowledged unread
		r.refuse("tradeState", "is unknown of a payment")
	}
}

// refund completes the notice of a refund, which names the refund and not its payment. As documented it has no state, because only
// refunds that succeeded are told.
func (r *reading) refund(notice *channel.Notice) {
	notice.Event, notice.RefundNumber, notice.Amount = channel.EventRefund, r.id("orderId"), r.fen("refundAmt")
	r.id("cmbOrderId") // of the refund, not of the payment
	state, name := r.optional("refundState"), "refundState"
	if trade := r.optional("tradeState"); state == "" {
		state, name = trade, "tradeState"
	} else if trade != "" && trade != state && trade != "R" {
		r.refuse(name, "differs from tradeState")
	}
	switch state {
	case "":
		state = "S"
	case "R": // the payment was turned into a refund: how that ended, a query tells
		state = "P"
	}
	notice.Refund = r.refundState(name, state)
}
