package recharge

import (
	"crypto/rand"
	"strconv"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// State is what has become of an order.
type State string

// The states.
const (
	StateOpen State = "open"
	// StatePaid: its recharge:confirm was accepted, and was not rejected.
	StatePaid    State = "paid"
	StateClosed  State = "closed"
	StateExpired State = "expired"
	// StateRejected: what was to pay it was rejected, and nothing was credited. What is paid from now on is a second payment.
	StateRejected State = "rejected"
)

// Order is a stored recharge order.
type Order struct {
	RechargeID string       `json:"recharge_id"`
	UserID     string       `json:"user_id"`
	Channel    tasks.Source `json:"channel"`
	Amount     money.Amount `json:"amount"`
	// OutTradeNo is the number under which the channel is to be asked for the payment.
	OutTradeNo string `json:"out_trade_no"`
	State      State  `json:"state" enum:"open,paid,closed,expired,rejected" doc:"rejected: its payment has funded something else, and nothing was credited."`
	// ChannelTxnID is the channel's number of the payment that was accepted.
	ChannelTxnID string     `json:"channel_txn_id,omitempty" doc:"The channel's number of the payment that was accepted."`
	CreatedAt    time.Time  `json:"created_at" doc:"UnionPay must be given this as txnTime, in Shanghai and to the second: it finds a payment by nothing else."`
	ExpiresAt    time.Time  `json:"expires_at"`
	ClosedAt     *time.Time `json:"closed_at,omitempty"`
	Producer     string     `json:"-"` // who opened it
}

// stateAt is the order's state at a time, unless its payment was rejected.
func (o *Order) stateAt(now time.Time) State {
	switch {
	case o.ChannelTxnID != "":
		return StatePaid
	case o.ClosedAt != nil:
		return StateClosed
	case now.After(o.ExpiresAt):
		return StateExpired
	default:
		return StateOpen
	}
}

// InTime says whether a payment that was made at a time was made while the order was open (O3). Channels tell whole seconds: a payment in
// the second in which the order was closed is in time. That another payment was faster is not looked at.
func (o *Order) InTime(paidAt time.Time) bool {
	return !paidAt.After(o.ExpiresAt) && (o.ClosedAt == nil || !paidAt.After(*o.ClosedAt))
}

// differences lists the fields in which asked is not this order, in alphabetical order.
func (o *Order) differences(producer string, asked tasks.RechargeOrder) []tasks.Diff {
	var diffs []tasks.Diff
	compare := func(field, stored, now string) {
		if stored != now {
			diffs = append(diffs, tasks.Diff{Field: field, Stored: strconv.QuoteToASCII(stored), Asked: strconv.QuoteToASCII(now)})
		}
	}
	compare("amount", o.Amount.String(), asked.Amount.String())
	compare("channel", string(o.Channel), string(asked.Channel))
	if !asked.ExpiresAt.IsZero() {
		compare("expires_at", wireTime(o.ExpiresAt), wireTime(asked.ExpiresAt))
	}
	if o.Producer != producer {
		diffs = append(diffs, tasks.Diff{Field: "recharge_id", Stored: "another producer's", Asked: strconv.QuoteToASCII(asked.RechargeID)})
	}
	compare("user_id", o.UserID, asked.UserID)
	return diffs
}

func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// newNumber is an order's number: 28 capital letters and digits, of which 128 bits cannot be guessed.
func newNumber() string { return "RC" + rand.Text() }
