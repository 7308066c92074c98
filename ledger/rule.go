package ledger

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Request is a stored request as its rule sees it.
type Request struct {
	ID           uuid.UUID
	Book         int
	Kind         tasks.Kind
	Key          string
	Payload      tasks.Payload
	OccurredAt   time.Time
	BusinessDate string // Shanghai date, 2006-01-02
	AcceptedAt   time.Time
}

// Rule decides one kind of request. It is pure: no SQL, clock, randomness or network; the same state and request give the same
// decision.
type Rule struct {
	kind   tasks.Kind
	reads  func(*Request, *Reads)
	decide func(*State, *Request) Decision
}

// NewRule makes a rule for a payload's kind. reads names the rows that decide will look at; looking at others panics, which kills
// the request and no other.
func NewRule[P tasks.Payload](reads func(P, *Reads), decide func(*State, *Request, P) Decision) Rule {
	return NewDatedRule(func(p P, _ string, r *Reads) { reads(p, r) }, decide)
}

// NewDatedRule makes a rule as NewRule does, which also reads rows of the request's business date.
func NewDatedRule[P tasks.Payload](reads func(p P, businessDate string, r *Reads), decide func(*State, *Request, P) Decision) Rule {
	var blank P
	payload := func(request *Request) P {
		p, ok := request.Payload.(P)
		if !ok {
			panic(fmt.Sprintf("rule for %T was given %T", blank, request.Payload))
		}
		return p
	}
	return Rule{
		kind:   blank.Kind(),
		reads:  func(request *Request, r *Reads) { reads(payload(request), request.BusinessDate, r) },
		decide: func(s *State, request *Request) Decision { return decide(s, request, payload(request)) },
	}
}

// Kind is the kind of request that the rule decides.
func (r Rule) Kind() tasks.Kind { return r.kind }

// Reads names the rows that the rule looks at for a request.
func (r Rule) Reads(request *Request) *Reads {
	reads := newReads(1)
	r.reads(request, reads)
	return reads
}

// Decide runs the rule over a state. Tests of rules call it; the ledger does so inside a batch.
func (r Rule) Decide(state *State, request *Request) Decision { return r.decide(state, request) }

// Transfer moves a positive amount from one account to another.
type Transfer struct {
	Debit, Credit *Account
	Amount        money.Amount
}

// LegRefund gives back part of an order's leg.
type LegRefund struct {
	Order  *Order
	Leg    int
	Amount money.Amount
	Asked  bool // its channel is asked for it, by a follow-up
}

// LineRefund gives back part of an order's line; PerLeg has an entry per leg.
type LineRefund struct {
	Order  *Order
	LineID string
	PerLeg []money.Amount
}

// Receipt says that a channel's payment has funded this request.
type Receipt struct {
	Channel tasks.Source
	TxnID   string
}

// verdict is what a decision makes of its request.
type verdict string

const (
	verdictApply  verdict = "applied"
	verdictReject verdict = "rejected"
	verdictPark   verdict = "parked"
)

// Decision is what a rule wants done: all of it, or nothing.
type Decision struct {
	verdict  verdict
	reason   tasks.Reason
	detail   string
	waitsFor string
	// elsewhere replaces a decision to park when what it waits for was asked of another book, and rejected when that is rejected. Nil: it
	// parks all the same.
	elsewhere, rejected *Decision

	Transfers     []Transfer
	Opens         []*Account // opened even if nothing is moved to them
	Orders        []*Order   // captured by this request
	LegRefunds    []LegRefund
	LineRefunds   []LineRefund
	Receipts      []Receipt
	Enrolments    []Enrolment
	Subscriptions []Subscription
	Cases         []Case
	Closes        *Closing        // nil: the request closes no case
	Sends         *Sending        // nil: the request sends nothing to another user
	Learns        *TryEnd         // nil: the request learns nothing of a try of a refund
	FollowUps     []tasks.Payload // requests that settled asks of itself, stored with the outcome
	Wakes         []string        // what parked requests may be waiting for, as they said it
}

// Apply begins a decision that applies the request. detail is told to whoever asks what became of it; it may be empty.
func Apply(detail string) Decision { return Decision{verdict: verdictApply, detail: detail} }

// Reject refuses the request for a business reason: final, and nothing moves.
func Reject(reason tasks.Reason, detail string) Decision {
	return Decision{verdict: verdictReject, reason: reason, detail: detail}
}

// Park waits until another request of this book wakes waitsFor, which names that request: its kind, a slash, its key. A request that is
// rejected wakes whoever waits for it.
func Park(waitsFor string) Decision { return Decision{verdict: verdictPark, waitsFor: waitsFor} }

// OrElsewhere rejects instead of parking when the awaited request was asked of another book: a key is asked of one book only, so it
// will never be decided in this one.
func (d Decision) OrElsewhere(reason tasks.Reason, detail string) Decision {
	instead := Reject(reason, detail)
	d.elsewhere = &instead
	return d
}

// OrRejected rejects instead of parking when the awaited request is rejected: that is final.
func (d Decision) OrRejected(reason tasks.Reason, detail string) Decision {
	instead := Reject(reason, detail)
	d.rejected = &instead
	return d
}

// Applied says whether the decision applies its request.
func (d Decision) Applied() bool { return d.verdict == verdictApply }

// Reason is why the decision rejects its request; empty when it does not.
func (d Decision) Reason() tasks.Reason { return d.reason }

// Detail is what the outcome will tell.
func (d Decision) Detail() string { return d.detail }

// WaitsFor is what a parked request waits for; empty when it is not parked.
func (d Decision) WaitsFor() string { return d.waitsFor }

// WithDetail replaces the detail.
func (d Decision) WithDetail(detail string) Decision {
	d.detail = detail
	return d
}

// Move adds a transfer.
func (d *Decision) Move(debit, credit *Account, amount money.Amount) {
	d.Transfers = append(d.Transfers, Transfer{Debit: debit, Credit: credit, Amount: amount})
}
