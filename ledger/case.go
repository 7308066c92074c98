package ledger

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// CaseKind says what a case asks a person.
type CaseKind string

// The kinds of case: stored and exported values, never renamed, only added to.
const (
	// UnmatchedRecharge asks whose a channel's payment is, which no recharge order explains. It stands in suspense.
	UnmatchedRecharge CaseKind = "unmatched_recharge"
	// FailedReturn asks what becomes of such a payment which its channel could not pay back. It stands in suspense again.
	FailedReturn CaseKind = "failed_return"
	// FailedRefund asks what becomes of money which a channel could not pay back to a user, who has not consented to cash. It stands in
	// the channel's refunding.
	FailedRefund CaseKind = "failed_refund"
	// UnreturnableRefund asks what becomes of money which a channel does not take back any more, by its own limits, of a user who has not
	// consented to cash: it was not asked. It stands in the channel's refunding.
	UnreturnableRefund CaseKind = "unreturnable_refund"
	// PaidTwice asks to have back what somebody got twice: in another way, when the channel could not pay, and from the channel, which has
	// paid after all. The channel's refunding is short of it.
	PaidTwice CaseKind = "paid_twice"
)

// CaseKinds lists every kind of case.
func CaseKinds() []CaseKind {
	return []CaseKind{FailedRefund, FailedReturn, PaidTwice, UnmatchedRecharge, UnreturnableRefund}
}

// HasMoney says whether a case's amount stands in its account; if not, the account is short of it.
func (k CaseKind) HasMoney() bool { return k != PaidTwice }

// Case asks a person what to do with money that is safe in an account but has no rule for where it goes next.
type Case struct {
	Kind    CaseKind
	Account AccountName
	Amount  money.Amount
	Detail  string
}

// StandingCase is a case that a rule has read, as the requests decided so far have left it.
type StandingCase struct {
	Ref      tasks.CaseRef
	Kind     CaseKind
	Account  AccountName
	Amount   money.Amount
	Payment  Receipt    // the channel's payment that stands in suspense; empty of other money
	OwnerID  string     // whose refund was not sent, of an unreturnable refund; empty of other cases
	ClosedBy tasks.Kind // the kind of request that has closed it; empty while it is open
	// Sent and Answer are what a channel was asked and could not pay, of a failed refund or return; nil of other cases.
	Sent   *tasks.RefundOrder
	Answer *tasks.RefundResult
	// CapturedAt and Asked are of the payment of a failed refund: when it was captured, and how often its channel was to be asked for refunds
	// of it; what the batch asks itself is not counted. Zero of other cases.
	CapturedAt time.Time
	Asked      int
	// Revised says that it stands open although a refund:revise is applied that says its channel has paid: a worker of a version before
	// closings has applied it, which moved the money out of the channel's refunding.
	Revised bool

	unread error // what of it could not be read
}

// Closing closes a case, with the request's outcome.
type Closing struct {
	Case *StandingCase
	Kind tasks.Kind // of the request
	By   string     // who decided it; tasks.BySettled when no person did
	Note string
}

// Case reads a case of this book, and what has closed it.
func (r *Reads) Case(ref tasks.CaseRef) { r.cases[ref] = struct{}{} }

// Case finds a case that was read; false when there is none in this book.
func (s *State) Case(ref tasks.CaseRef) (*StandingCase, bool) {
	found, ok := s.cases[ref]
	if !ok {
		panic(fmt.Sprintf("rule looks at case %s, which it did not read", ref))
	}
	if found != nil && found.unread != nil {
		panic(fmt.Sprintf("rule looks at case %s: %v", ref, found.unread))
	}
	return found, found != nil
}

// PutCase puts a case into a state made by hand; nil means that it was read and not there.
func (s *State) PutCase(ref tasks.CaseRef, found *StandingCase) { s.cases[ref] = found }

// checkClosing refuses to close a case twice, before anything is applied.
func (d *Decision) checkClosing() error {
	if c := d.Closes; c != nil && (c.Case == nil || c.Case.ClosedBy != "" || c.Kind == "") {
		return fmt.Errorf("%w: I11: %s closes a case that is not open", ErrBrokenInvariant, c.Kind)
	}
	return nil
}

// readCasesSQL finds with a case what it is of: the payment that was suspended, or what was sent and failed, with the answer.
const readCasesSQL = `
SELECT c.request_id, c.ordinal, c.kind, c.account, c.amount_fen, coalesce(by.kind, ''),
       coalesce(CASE WHEN c.kind <> 'failed_refund' THEN paid.payload ->> 'channel' END, ''),
       coalesce(CASE WHEN c.kind <> 'failed_refund' THEN paid.payload ->> 'channel_txn_id' END, ''),
       coalesce(CASE WHEN c.kind = 'unreturnable_refund' THEN r.payload ->> 'user_id' END, ''),
       coalesce(o.captured_at, '0001-01-01 00:00:00+00'), CASE WHEN o.book IS NOT NULL THEN (
           SELECT count(*) FROM requests s
           WHERE s.kind = 'refund:send' AND s.book = o.book AND s.payload ->> 'order_id' = o.order_id
             AND s.payload ->> 'channel' = paid.payload ->> 'channel') ELSE 0 END,
       CASE WHEN paid.kind = 'refund:send' THEN paid.payload END, CASE WHEN r.kind = 'refund:answer' THEN r.payload END,
       x.book IS NULL AND r.kind = 'refund:answer' AND EXISTS (
           SELECT FROM requests v
           JOIN outcomes w ON w.book = v.book AND w.request_id = v.id AND w.result = 'applied'
           WHERE v.kind = 'refund:revise' AND v.key = r.key AND v.book = r.book)
FROM (SELECT $1::smallint AS book, * FROM unnest($2::uuid[], $3::smallint[]) AS a (request_id, ordinal) OFFSET 0) asked
JOIN cases c ON c.book = asked.book AND c.request_id = asked.request_id AND c.ordinal = asked.ordinal
JOIN requests r ON r.book = c.book AND r.id = c.request_id
LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal
LEFT JOIN requests by ON by.book = x.book AND by.id = x.closing_request_id
LEFT JOIN requests paid ON c.kind IN ('unmatched_recharge', 'failed_return', 'failed_refund') AND paid.key = r.key
    AND paid.kind = CASE r.kind WHEN 'refund:answer' THEN 'refund:send' ELSE r.kind END
LEFT JOIN orders o ON c.kind = 'failed_refund' AND o.book = c.book AND o.order_id = paid.payload ->> 'order_id'`

// queueCaseReads looks in the batch's book.
func queueCaseReads(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.cases) == 0 {
		return
	}
	requests, ordinals := make([]uuid.UUID, 0, len(reads.cases)), make([]int16, 0, len(reads.cases))
	for ref := range reads.cases {
		state.cases[ref] = nil
		if ref.Book == state.book {
			requests, ordinals = append(requests, ref.Request), append(ordinals, int16(ref.Ordinal))
		}
	}
	queries.Queue(readCasesSQL, state.book, pguuid.Array(requests), ordinals).Query(func(rows pgx.Rows) error {
		var c StandingCase
		var fen int64
		var sent, answered []byte
		_, err := pgx.ForEachRow(rows, []any{pguuid.Into(&c.Ref.Request), &c.Ref.Ordinal, &c.Kind, &c.Account, &fen, &c.ClosedBy,
			&c.Payment.Channel, &c.Payment.TxnID, &c.OwnerID, &c.CapturedAt, &c.Asked, &sent, &answered, &c.Revised}, func() error {
			found := c
			found.Ref.Book, found.Amount = state.book, money.FromFen(fen)
			found.readFailure(sent, answered)
			state.cases[found.Ref] = &found
			return nil
		})
		return err
	})
}

// readFailure reads what a channel was asked and what it answered.
func (c *StandingCase) readFailure(sent, answered []byte) {
	if sent == nil || answered == nil || c.Kind == PaidTwice {
		return
	}
	order, err := tasks.DecodePayload(tasks.RefundSend, sent)
	if err == nil {
		c.Sent, _ = order.(*tasks.RefundOrder)
		var answer tasks.Payload
		answer, err = tasks.DecodePayload(tasks.RefundAnswer, answered)
		c.Answer, _ = answer.(*tasks.RefundResult)
	}
	c.unread = err
}

// shareCase finds the case in the working set or adds it: requests of one batch must see one case as one.
func (s *State) shareCase(read *StandingCase) *StandingCase {
	if known := s.cases[read.Ref]; known != nil {
		return known
	}
	s.cases[read.Ref] = read
	return read
}

const insertCaseSQL = `
INSERT INTO cases (book, request_id, ordinal, kind, account, amount_fen, detail, opened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

const insertClosingSQL = `
INSERT INTO case_closings (book, request_id, ordinal, closing_request_id, closed_by, note, closed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`
