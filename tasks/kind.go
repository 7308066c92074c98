package tasks

import (
	"slices"
	"strings"
)

// Kind says what a request asks for. Kinds are wire values and asynq task types: never renamed, only added to.
type Kind string

// The kinds that producers may ask for.
const (
	PaymentCapture  Kind = "payment:capture"
	RefundApply     Kind = "refund:apply"
	RechargeConfirm Kind = "recharge:confirm"
	RewardGrant     Kind = "reward:grant"
	TransferSend    Kind = "transfer:send"
	WealthEnrol     Kind = "wealth:enrol"
	SweepRun        Kind = "sweep:run"
)

// The kinds that a person asks for who decides a case. Each is asked of a case once: its key begins with the case's id.
const (
	// CreditCase pays the money that stands behind a case to a user.
	CreditCase Kind = "case:credit"
	// ReturnCase sends a payment that stands in suspense back to its payer, or a refund that failed again.
	ReturnCase Kind = "case:return"
	// CloseCase closes a case by a statement of what became of its money outside of the books.
	CloseCase Kind = "case:close"
)

// The kinds that only settled itself asks for, as follow-ups of other requests or for what a channel has told.
const (
	// RechargeSuspend books a channel's payment that no recharge order explains, until a person decides.
	RechargeSuspend Kind = "recharge:suspend"
	// RefundSend asks a channel to pay a refund's leg back, under a number stored in the request.
	RefundSend Kind = "refund:send"
	// RefundAnswer books a channel's final answer to a RefundSend.
	RefundAnswer Kind = "refund:answer"
	// RefundRevise books that a channel has paid a refund of which its RefundAnswer says that it failed.
	RefundRevise Kind = "refund:revise"
	// TransferReceive credits a transfer whose recipient lives in another book than its sender.
	TransferReceive Kind = "transfer:receive"
	// SweepChunk sweeps the next users of one book.
	SweepChunk Kind = "sweep:chunk"
)

// kindFacts says where a kind's tasks queue, whether producers may ask for it, and which wire shape it has.
type kindFacts struct {
	queue    Queue
	internal bool
	blank    func() Payload
}

var kinds = map[Kind]kindFacts{
	PaymentCapture:  {queue: Critical, blank: func() Payload { return new(Payment) }},
	RechargeConfirm: {queue: Critical, blank: func() Payload { return new(Recharge) }},
	RechargeSuspend: {queue: Critical, internal: true, blank: func() Payload { return new(Suspension) }},
	TransferSend:    {queue: Critical, blank: func() Payload { return new(Transfer) }},
	TransferReceive: {queue: Critical, internal: true, blank: func() Payload { return new(TransferArrival) }},
	RefundApply:     {queue: Refunds, blank: func() Payload { return new(Refund) }},
	RefundAnswer:    {queue: Refunds, internal: true, blank: func() Payload { return new(RefundResult) }},
	RefundRevise:    {queue: Refunds, internal: true, blank: func() Payload { return new(RefundRevision) }},
	SweepRun:        {queue: Sweeps, blank: func() Payload { return new(Sweep) }},
	SweepChunk:      {queue: Sweeps, internal: true, blank: func() Payload { return new(SweepPart) }},
	// A channel may take seconds to answer: refund:send must not hold the workers that refunds wait for.
	RefundSend:  {queue: Low, internal: true, blank: func() Payload { return new(RefundOrder) }},
	RewardGrant: {queue: Low, blank: func() Payload { return new(Reward) }},
	WealthEnrol: {queue: Low, blank: func() Payload { return new(Enrolment) }},
	CreditCase:  {queue: Refunds, blank: func() Payload { return new(CaseCredit) }},
	ReturnCase:  {queue: Refunds, blank: func() Payload { return new(CaseReturn) }},
	CloseCase:   {queue: Refunds, blank: func() Payload { return new(CaseClosing) }},
}

// Kinds lists every kind in alphabetical order.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kinds))
	for kind := range kinds {
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}

// Known says whether the kind exists.
func (k Kind) Known() bool { _, ok := kinds[k]; return ok }

// Internal says that only settled itself asks for this kind; a producer's request of it is refused.
func (k Kind) Internal() bool { return kinds[k].internal }

// Queue is the queue that carries the kind's rings.
func (k Kind) Queue() Queue { return kinds[k].queue }

// ParseKind reads a kind that a producer may ask for. It returns a *FieldError for anything else.
func ParseKind(s string) (Kind, error) {
	kind := Kind(s)
	if kind.Known() && !kind.Internal() {
		return kind, nil
	}
	var allowed []string
	for _, k := range Kinds() {
		if !k.Internal() {
			allowed = append(allowed, string(k))
		}
	}
	return "", &FieldError{Field: "kind", Problem: "is " + quote(s) + ", which is not a kind that producers may ask for",
		Allowed: strings.Join(allowed, ", ")}
}
