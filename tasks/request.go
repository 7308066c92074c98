package tasks

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/clock"
)

// Request is a validated request, ready to be stored once it has a producer: identified, dated, in canonical form, and assigned to
// its user's book.
type Request struct {
	ID           uuid.UUID // version 7: sorts by the time of making
	Book         int
	Kind         Kind
	Key          string
	Payload      []byte // canonical JSON
	Producer     string // who asks, an id; whoever has it stored sets it
	OccurredAt   time.Time
	BusinessDate string // Shanghai date, 2006-01-02
}

// NewRequest validates a payload and gives it an identity. now dates what carries no time of its own. It returns a *FieldError
// for a payload that is not allowed.
func NewRequest(payload Payload, books int, now time.Time) (Request, error) {
	if err := Validate(payload); err != nil {
		return Request{}, err
	}
	canonical, err := canonicalText(payload)
	if err != nil {
		return Request{}, fmt.Errorf("encode %s: %w", payload.Kind(), err)
	}
	if len(canonical) > PayloadBytesMax {
		return Request{}, &FieldError{Field: "payload", Problem: fmt.Sprintf("has %d bytes", len(canonical)),
			Allowed: fmt.Sprintf("up to %d bytes", PayloadBytesMax)}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Request{}, fmt.Errorf("make a request id: %w", err)
	}
	who := payload.identity()
	request := Request{ID: id, Book: who.book, Kind: payload.Kind(), Key: who.key, Payload: canonical, OccurredAt: who.occurredAt,
		BusinessDate: who.businessDate}
	if who.userID != "" {
		request.Book = BookOf(who.userID, books)
	}
	if request.Book < 0 || request.Book >= books {
		return Request{}, &FieldError{Field: "book", Problem: fmt.Sprintf("is %d", request.Book), Allowed: fmt.Sprintf("0 to %d", books-1)}
	}
	if request.OccurredAt.IsZero() {
		request.OccurredAt = canonicalTime(now)
	}
	if request.BusinessDate == "" {
		request.BusinessDate = clock.BusinessDate(request.OccurredAt)
	}
	return request, nil
}

// Result is what a request's outcome says.
type Result string

// The results. Both are final.
const (
	Applied  Result = "applied"
	Rejected Result = "rejected"
)

// Outcome is the stored answer to a request. It never changes.
type Outcome struct {
	Result        Result `json:"result"`
	Reason        Reason `json:"reason,omitempty"` // why it was rejected
	Detail        string `json:"detail,omitempty"`
	FirstTransfer int64  `json:"first_transfer"` // number in the book's journal
	Transfers     int    `json:"transfers"`
	// Attempts are the starts that were counted before they began, the one that decided included: each of a refund:send, and of others
	// those that a lost process or ring made suspect. Most requests have none.
	Attempts  int       `json:"attempts" doc:"Starts that were counted before they began, the one that decided included: each of a refund:send, and of others those that a lost process or ring made suspect. Most requests have none."`
	DecidedAt time.Time `json:"decided_at"`
}

// Reason is the code of a rejection: a closed set, never renamed, only added to.
type Reason string

// The reasons for a rejection.
const (
	InsufficientFunds     Reason = "insufficient_funds"
	NoAccount             Reason = "no_account"
	MerchantTakesNone     Reason = "merchant_takes_no_balance"
	ExcludedLines         Reason = "lines_exclude_balance"
	BalanceOnly           Reason = "priced_for_balance_only"
	ExceedsRefundable     Reason = "exceeds_refundable"
	ExceedsLine           Reason = "exceeds_line"
	UnknownLine           Reason = "unknown_line"
	OrderOfAnotherUser    Reason = "order_of_another_user"
	PaymentRejected       Reason = "payment_rejected"
	ChannelPaymentUsed    Reason = "channel_payment_already_used"
	ProductNotOffered     Reason = "product_not_offered"
	NotEnrolled           Reason = "not_enrolled"
	AnswerMatchesNoRefund Reason = "answer_matches_no_refund"
	NoSuchCase            Reason = "no_such_case"
	CaseIsClosed          Reason = "case_is_closed"
	CaseHasNoMoney        Reason = "case_has_no_money"
	CaseHasNoPayment      Reason = "case_has_no_payment"
	CaseHasMoney          Reason = "case_has_money"
	TransferLimit         Reason = "transfer_limit"
	ChannelHoldsMoney     Reason = "channel_holds_money"
	ChannelLimit          Reason = "channel_limit"
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{InsufficientFunds, NoAccount, MerchantTakesNone, ExcludedLines, BalanceOnly, ExceedsRefundable, ExceedsLine,
		UnknownLine, OrderOfAnotherUser, PaymentRejected, ChannelPaymentUsed, ProductNotOffered, NotEnrolled,
		AnswerMatchesNoRefund, NoSuchCase, CaseIsClosed, CaseHasNoMoney, CaseHasNoPayment, CaseHasMoney,
		TransferLimit, ChannelHoldsMoney, ChannelLimit}
}

// Status says what acceptance made of a request.
type Status string

// The statuses of a receipt.
const (
	// Accepted: stored now; the producer may forget it.
	Accepted Status = "accepted"
	// Replayed: stored before with the same content; nothing changed.
	Replayed Status = "replayed"
	// Conflicting: stored before with other content; this one was refused and recorded.
	Conflicting Status = "conflict"
)

// Receipt is the answer to an asked request.
type Receipt struct {
	ID      uuid.UUID `json:"id"` // of the stored request
	Book    int       `json:"book"`
	Kind    Kind      `json:"kind"`
	Key     string    `json:"key"`
	Status  Status    `json:"status"`
	Outcome *Outcome  `json:"outcome,omitempty"` // of a replay that was decided before
	Fields  []Diff    `json:"fields,omitempty"`  // of a conflict: what differs
	// Producer asked for the stored request first. A door shows what is stored to whom it concerns.
	Producer string `json:"-"`
}

// Diff is one field in which a conflicting request differs from the stored one.
type Diff struct {
	Field  string `json:"field"`
	Stored string `json:"stored"`
	Asked  string `json:"asked"`
}

// String tells the difference.
func (d Diff) String() string {
	return d.Field + " was " + d.Stored + ", now " + d.Asked
}

// ConflictError says that the key was used before with other content.
type ConflictError struct{ Receipt Receipt }

// Error implements error.
func (e *ConflictError) Error() string {
	text := fmt.Sprintf("%s %q was asked before with other content:", e.Receipt.Kind, e.Receipt.Key)
	for _, diff := range e.Receipt.Fields {
		text += " " + diff.String() + ";"
	}
	return text[:len(text)-1]
}
