package tasks

import (
	"time"

	"github.com/settled-dev/settled/money"
)

// Source is where a leg of a payment took its money from.
type Source string

// The sources: two buckets of the user's balance, and the channels.
const (
	SourceCash     Source = "cash"
	SourceReward   Source = "reward"
	SourceWeChat   Source = "wechat"
	SourceAlipay   Source = "alipay"
	SourceUnionPay Source = "unionpay"
	SourceECNY     Source = "ecny"
)

// IsBalance says that the source is a bucket of the user's balance and not a channel.
func (s Source) IsBalance() bool { return s == SourceCash || s == SourceReward }

// Channels lists the sources outside the wallet.
func Channels() []Source { return []Source{SourceWeChat, SourceAlipay, SourceUnionPay, SourceECNY} }

// LineKind is what an order's line sells.
type LineKind string

// The kinds of line.
const (
	Goods    LineKind = "goods"
	Virtual  LineKind = "virtual"
	Shipping LineKind = "shipping"
	Coupon   LineKind = "coupon"
)

// Payload is the content of a request. The shapes below are its only implementations.
type Payload interface {
	// Kind is the kind of request that this is the content of.
	Kind() Kind
	identity() identity
	normalize()
	validate(*fieldCheck)
}

// identity is what acceptance reads of a payload.
type identity struct {
	key          string
	userID       string // decides the book, or what stands for a user who is not known; "" means that book does
	book         int
	occurredAt   time.Time // zero: the time of acceptance
	businessDate string    // "" means the Shanghai date of occurredAt
}

// Payment is a captured payment of an order: its legs together paid the order.
type Payment struct {
	OrderID          string    `json:"order_id"`
	UserID           string    `json:"user_id"`
	MerchantID       string    `json:"merchant_id"`
	Legs             []Leg     `json:"legs"`
	Lines            []Line    `json:"lines,omitempty"`
	BalanceExclusive bool      `json:"balance_exclusive,omitempty"` // priced for payment by balance alone
	OccurredAt       time.Time `json:"occurred_at"`
}

// Leg is one funding source of a payment.
type Leg struct {
	Source       Source       `json:"source"`
	Amount       money.Amount `json:"amount"`
	ChannelTxnID string       `json:"channel_txn_id,omitempty"`
}

// Line is one position of an order. Lines, where given, add up to the legs; a coupon line lowers the sum.
type Line struct {
	LineID string       `json:"line_id"`
	Kind   LineKind     `json:"kind"`
	Amount money.Amount `json:"amount"`
}

// Refund gives back all or part of a captured order.
type Refund struct {
	RefundID string       `json:"refund_id"`
	OrderID  string       `json:"order_id"`
	UserID   string       `json:"user_id"`
	Amount   money.Amount `json:"amount"`
	Lines    []LineRefund `json:"lines,omitempty"`
	To       RefundTarget `json:"to,omitempty"` // "" means origin
	// IfRefused is the user's recorded consent to where a part goes that its channel cannot pay. "" means none: a person is asked. It says
	// nothing of a refund to the balance, and reward never becomes cash.
	IfRefused  RefundFallback `json:"if_refused,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	OccurredAt time.Time      `json:"occurred_at"`
}

// LineRefund gives back part of one line. The lines of a refund add up to its amount.
type LineRefund struct {
	LineID string       `json:"line_id"`
	Amount money.Amount `json:"amount"`
}

// RefundTarget says where a refund goes.
type RefundTarget string

// The targets of a refund.
const (
	// ToOrigin sends each part back to where it came from.
	ToOrigin RefundTarget = "origin"
	// ToBalance credits channel parts to the user's cash, with the user's recorded consent. Reward parts stay reward.
	ToBalance RefundTarget = "balance"
)

// RefundFallback says where a part of a refund goes that its channel cannot pay.
type RefundFallback string

// FallBackToBalance credits the part to the user's cash.
const FallBackToBalance RefundFallback = "balance"

// Recharge is a channel's confirmed payment into a user's balance.
type Recharge struct {
	RechargeID   string       `json:"recharge_id"`
	UserID       string       `json:"user_id"`
	Channel      Source       `json:"channel"`
	ChannelTxnID string       `json:"channel_txn_id"`
	Amount       money.Amount `json:"amount"`
	OccurredAt   time.Time    `json:"occurred_at"`
}

// Suspension is a channel's payment that no recharge order explains: the money is ours to keep safe, and a person decides whose it is.
type Suspension struct {
	Channel      Source          `json:"channel"`
	ChannelTxnID string          `json:"channel_txn_id"`
	OutTradeNo   string          `json:"out_trade_no"` // as the channel said it: it need not be a number of ours
	Amount       money.Amount    `json:"amount"`
	Cause        SuspensionCause `json:"cause"`
	UserID       string          `json:"user_id,omitempty"`     // whose recharge order has the number
	RechargeID   string          `json:"recharge_id,omitempty"` // of that order
	OccurredAt   time.Time       `json:"occurred_at"`
}

// SuspensionCause says why a channel's payment is no recharge: a closed set, never renamed, only added to.
type SuspensionCause string

// The causes.
const (
	UnknownOrder  SuspensionCause = "unknown_order"  // no recharge order has the number
	ClosedOrder   SuspensionCause = "closed_order"   // paid after the order was closed or had expired
	WrongAmount   SuspensionCause = "wrong_amount"   // the order asks for another amount
	WrongChannel  SuspensionCause = "wrong_channel"  // the order is to be paid through another channel
	SecondPayment SuspensionCause = "second_payment" // another payment has paid the order
	UsedPayment   SuspensionCause = "used_payment"   // the payment has funded something else: the channel contradicts itself
	// RefundedPayment: the channel says that it has given some of it back before it was known here.
	RefundedPayment SuspensionCause = "refunded_payment"
)

// SuspensionCauses lists every cause.
func SuspensionCauses() []SuspensionCause {
	return []SuspensionCause{UnknownOrder, ClosedOrder, WrongAmount, WrongChannel, SecondPayment, UsedPayment, RefundedPayment}
}

// ReturnableCauses lists the causes for which a policy may have payments sent back by themselves: those of a recharge order of ours, which
// says that the payment was for us and not what it should have been. A number that is unknown may be another system's at the same merchant;
// a payment that was used or refunded already would be paid back from other money.
func ReturnableCauses() []SuspensionCause {
	return []SuspensionCause{SecondPayment, ClosedOrder, WrongAmount, WrongChannel}
}

// Reward is a gift of a campaign: spendable, never cash.
type Reward struct {
	RewardID   string       `json:"reward_id"`
	UserID     string       `json:"user_id"`
	CampaignID string       `json:"campaign_id"`
	Amount     money.Amount `json:"amount"`
	OccurredAt time.Time    `json:"occurred_at"`
}

// Transfer sends cash to another user.
type Transfer struct {
	TransferID string       `json:"transfer_id"`
	FromUserID string       `json:"from_user_id"`
	ToUserID   string       `json:"to_user_id"`
	Amount     money.Amount `json:"amount"`
	OccurredAt time.Time    `json:"occurred_at"`
}

// TransferArrival is the second half of a transfer between two books, or of a case's money that goes to a user of another book: it has the
// id of the one or of the other.
type TransferArrival struct {
	TransferID string       `json:"transfer_id,omitempty"`
	CaseID     string       `json:"case_id,omitempty"`
	FromBook   int          `json:"from_book"`
	ToUserID   string       `json:"to_user_id"`
	Amount     money.Amount `json:"amount"`
	OccurredAt time.Time    `json:"occurred_at"`
}

// Enrolment is a user's consent to have idle balance swept into a product. A later one replaces the keep amount.
type Enrolment struct {
	EnrolmentID    string       `json:"enrolment_id"`
	UserID         string       `json:"user_id"`
	ProductID      string       `json:"product_id"`
	KeepAmount     money.Amount `json:"keep_amount"`
	ConsentVersion string       `json:"consent_version"`
	OccurredAt     time.Time    `json:"occurred_at"`
}

// Sweep asks for one night's sweep of a product over all enrolled users of all books.
type Sweep struct {
	ProductID    string `json:"product_id"`
	BusinessDate string `json:"business_date"`
}

// SweepPart sweeps the next users of one book after AfterUserID. Its outcome asks for the part that follows it.
type SweepPart struct {
	ProductID    string `json:"product_id"`
	BusinessDate string `json:"business_date"`
	Book         int    `json:"book"`
	AfterUserID  string `json:"after_user_id"`
}

// RefundOrder asks a channel to pay a leg of a refund back, or a payment that stood in suspense: that one is of a case, and of no refund,
// order or user. Number is the refund number at the channel: it is stored with this request before the first call and never changes.
type RefundOrder struct {
	Number       string       `json:"number"`
	CaseID       string       `json:"case_id,omitempty"`
	RefundID     string       `json:"refund_id"`
	OrderID      string       `json:"order_id"`
	UserID       string       `json:"user_id,omitempty"`
	Leg          int          `json:"leg"`
	Channel      Source       `json:"channel"`
	ChannelTxnID string       `json:"channel_txn_id,omitempty"`
	Captured     money.Amount `json:"captured"`
	Amount       money.Amount `json:"amount"`
	Consented    bool         `json:"consented"` // on final failure the money may go to the user's cash
	OccurredAt   time.Time    `json:"occurred_at"`
}

// RefundResult is a channel's final answer to a RefundOrder.
type RefundResult struct {
	Number     string       `json:"number"`
	CaseID     string       `json:"case_id,omitempty"`
	RefundID   string       `json:"refund_id"`
	UserID     string       `json:"user_id,omitempty"`
	Channel    Source       `json:"channel"`
	Amount     money.Amount `json:"amount"`
	Result     RefundEnd    `json:"result"`
	Consented  bool         `json:"consented"`
	Reason     string       `json:"reason,omitempty"`
	OccurredAt time.Time    `json:"occurred_at"`
}

// RefundRevision is a channel's success after its final answer to the same RefundOrder was a failure. It has that answer's fields; its
// result is RefundSucceeded.
type RefundRevision RefundResult

// RefundEnd is how a channel ended a refund.
type RefundEnd string

// The final ends. A channel that has not ended a refund has no RefundResult yet.
const (
	RefundSucceeded RefundEnd = "succeeded"
	RefundFailed    RefundEnd = "failed"
)
