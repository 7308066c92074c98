package simulate

import (
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Message is a notice as it goes over the wire to the merchant, by POST.
type Message struct {
	Header http.Header // with its Content-Type
	Body   []byte
}

// Dialect is how one channel speaks: the formats, signatures and answers of its side. It holds the channel's private keys and the
// merchant's public ones. Its methods may be called at the same time.
type Dialect interface {
	Source() tasks.Source
	// MerchantSettings writes what a merchant gets when it signs up (key and certificate files, in the directory) and returns the
	// settings, JSON, that the channel's own package loads from there; baseURL is where Handler is served.
	MerchantSettings(dir, baseURL string) ([]byte, error)
	// Notice words and signs what happened. The same notice is signed anew at each delivery. A refund's has its Amount and, for the
	// channels that tell that alone, its RefundedTotal.
	Notice(notice channel.Notice, now time.Time) (Message, error)
	// Acknowledged says whether the merchant's answer ends the deliveries.
	Acknowledged(status int, body []byte) bool
	// Redeliveries are the pauses between the deliveries of an unacknowledged notice, as the channel documents them.
	Redeliveries() []time.Duration
	// AnswerWithin is how long the channel waits for an answer.
	AnswerWithin() time.Duration
	// Handler serves the channel's refund interface and its queries of refunds and payments over the desk's state. It verifies the
	// merchant's signatures.
	Handler(desk Desk) http.Handler
}

// KeyedDialect is a Dialect whose keys can be changed, and kept beyond the process.
type KeyedDialect interface {
	Dialect
	// Rotate makes new keys for the channel, with which messages are signed from now on. MerchantSettings has old and new ones.
	Rotate() error
	// Keys are all keys, private ones included, in a form that the dialect's Restore reads.
	Keys() ([]byte, error)
}

// Kind is a channel that can be simulated.
type Kind struct {
	Source tasks.Source
	// New makes the channel with new keys, Restore with those that Keys returned.
	New     func(clock.Clock) (KeyedDialect, error)
	Restore func(clock.Clock, []byte) (KeyedDialect, error)
}

// Payment is what a payer paid to a merchant.
type Payment struct {
	OutTradeNo   string
	ChannelTxnID string
	Amount       money.Amount
	PaidAt       time.Time
}

// OrderState is how far a payer's order is.
type OrderState string

// The states. An order that nobody has heard of has none.
const (
	OrderUnpaid OrderState = "unpaid"
	OrderClosed OrderState = "closed" // unpaid, and it stays so
	OrderPaid   OrderState = "paid"
)

// Ordered is what a payer was asked to pay, as the channel keeps it.
type Ordered struct {
	State  OrderState
	Amount money.Amount // that was asked
	// OrderedAt is when the merchant says that it has sent the order, where it says so and the channel cares: UnionPay's txnTime.
	OrderedAt time.Time
	Payment   Payment      // the first, if it is paid
	Refunded  money.Amount // of that payment, by refunds that have been made
}

// Refund is a refund as the channel keeps it.
type Refund struct {
	Number          string // the merchant's
	ChannelRefundID string
	Payment         Payment
	Amount          money.Amount
	RefundedTotal   money.Amount // of the payment when this refund had been made, with it; zero while it has not
	State           channel.RefundState
	Reason          string    // of a failure
	AcceptedAt      time.Time // when the merchant asked
	EndedAt         time.Time // zero while it is processing
}

// Desk is the state of one simulated channel: what was paid, and what is refunded. Its methods may be called at the same time.
type Desk interface {
	// Payment finds a payment by the channel's number, or, when that is empty, by the merchant's.
	Payment(channelTxnID, outTradeNo string) (Payment, bool)
	// Ordered finds an order by the merchant's number. One that was paid without having been ordered before is known too.
	Ordered(outTradeNo string) (Ordered, bool)
	// Refund takes a refund, once for each number: the same again answers what became of the first. It returns ErrUnknownPayment,
	// ErrTooMuch or ErrNumberTaken, wrapped. A drop that is not nil (http.ErrAbortHandler, which breaks the connection, or ErrHanging) is
	// what the handler panics with instead of an answer: the refund was taken, and the merchant must not learn it.
	Refund(number, channelTxnID, outTradeNo string, amount money.Amount) (refund Refund, drop, err error)
	// Refunded finds a refund by the merchant's number.
	Refunded(number string) (Refund, bool)
	// Now is the desk's time.
	Now() time.Time
}
