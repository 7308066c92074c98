package channel

import (
	"errors"
	"net/http"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Event is what a notice tells.
type Event string

// The events.
const (
	// EventPaid: a payer has paid. The money is the channel's debt to us from now on.
	EventPaid Event = "paid"
	// EventClosed: an order ended unpaid. It moves nothing.
	EventClosed Event = "closed"
	// EventRefund: a refund has ended, or has moved on; Notice.Refund says how.
	EventRefund Event = "refund"
	// EventOther: a genuine message that concerns no money of ours. It is acknowledged and moves nothing.
	EventOther Event = "other"
)

// Notice is what a channel's genuine message says, whatever its wire format. Only a Port makes one, after the signature was verified.
type Notice struct {
	Channel tasks.Source
	Event   Event
	// ID is the channel's own number of the message, where it has one. A redelivery may carry another.
	ID string
	// MerchantID and AppID are those that the message names. AppID is empty where the channel has none. The port has checked that
	// they are ours.
	MerchantID, AppID string
	// OutTradeNo is the order's number that the merchant gave: a recharge order's, or that of an order of the shop.
	OutTradeNo string
	// ChannelTxnID is the channel's number of the payment, unique within the channel. It and OutTradeNo are empty in refunds of channels
	// whose notices name the refund alone.
	ChannelTxnID string
	// Amount is what was paid, or what is refunded. Positive, CNY: a message in another currency is refused by the port. Zero only where
	// RefundedTotal stands instead.
	Amount money.Amount
	// RefundedTotal is what was refunded of the payment so far, this refund included: all that some channels tell of a refund's amount
	// (Alipay's refund_fee). It is never this refund's amount; that of the order with RefundNumber is at most as much. Positive where
	// Amount is zero. Of EventRefund only.
	RefundedTotal money.Amount
	// OccurredAt is the channel's time of the event: of the payment, or of the refund's end.
	OccurredAt time.Time
	// TimeUnknown says that the channel does not tell when it was paid: OccurredAt is when it was ordered, the earliest that it can be. Of
	// EventPaid only.
	TimeUnknown bool
	// Refunded says that the channel has given some of the payment back since, or all. Of EventPaid, and of answers to QueryPayment only;
	// not every channel tells it.
	Refunded bool
	// RefundNumber is our number of the refund (tasks.RefundOrder.Number), and Refund what became of it. Of EventRefund only.
	RefundNumber string
	Refund       RefundAnswer
}

// The ways in which a message is not a notice. A port wraps one of them, with a detail that names no secret and quotes no body.
var (
	// ErrNotGenuine: the signature is missing or wrong, or its key or certificate is not one of the channel's.
	ErrNotGenuine = errors.New("message is not the channel's")
	// ErrOtherRule stands beside ErrNotGenuine: the signature is right by another rule than the channel documents, so that either its
	// rule or ours is wrong, and a person should look.
	ErrOtherRule = errors.New("signature is right by another rule")
	// ErrProbe: a signature that the channel made wrong on purpose, to see that it is refused.
	ErrProbe = errors.New("message is the channel's signature probe")
	// ErrStale: the signature is right and too old, or from the future: a replay.
	ErrStale = errors.New("message is outside the replay window")
	// ErrMalformed: the message is the channel's, or cannot even be checked, and cannot be read.
	ErrMalformed = errors.New("message is malformed")
	// ErrNotOurs: the message is genuine, for another merchant or app.
	ErrNotOurs = errors.New("message is for another merchant")
)

// Reply is the exact HTTP answer that a channel wants.
type Reply struct {
	Status      int
	ContentType string // empty: none
	Body        []byte
}

// Port is one channel as configured: its notices, its refunds, and what it says of payments. Its methods may be called at the same time.
type Port interface {
	Refunder
	PaymentQuerier
	// ReadNotice verifies the raw bytes of a message at the time now and reads it. It never panics. It returns ErrNotGenuine,
	// ErrProbe, ErrStale, ErrMalformed or ErrNotOurs, wrapped, and ErrOtherRule beside the first.
	ReadNotice(header http.Header, body []byte, now time.Time) (Notice, error)
	// Reply is the answer to a message: problem nil tells the channel that it is done, anything else that it must come again. A
	// reply to a problem never reads as success to the channel.
	Reply(problem error, now time.Time) Reply
}
