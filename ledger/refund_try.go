package ledger

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// RefundTry is one number under which a channel is asked for a leg of a refund: the first, or one under which a person has had a failed one
// sent again. All tries of a leg are of the same money, and each number can still turn out to be paid.
type RefundTry struct {
	Number  string
	Answer  *ChannelAnswer // nil while none is applied
	Revised bool           // its channel has paid it after it had failed, and that is applied
}

// Paid says that the channel has paid the number.
func (t *RefundTry) Paid() bool {
	return t.Revised || t.Answer != nil && t.Answer.Result == tasks.RefundSucceeded
}

// TryEnd is what a request has learnt of a try; its decision says it, so that later requests of the batch see it.
type TryEnd struct {
	Try     *RefundTry
	Answer  *ChannelAnswer // applied by the request; nil of a revision
	Revised bool
}

// RefundTries reads all numbers that were sent for the leg of a refund that a number of this book is of, with what became of each.
func (r *Reads) RefundTries(number string) { r.tries[number] = struct{}{} }

// RefundTries lists the tries of the leg that a number, which was read, is of; none when nothing was sent under it. What is applied earlier
// in the batch is told, if its decision says so (Decision.Learns).
func (s *State) RefundTries(number string) []*RefundTry {
	tries, ok := s.tries[number]
	if !ok {
		panic(fmt.Sprintf("rule looks at the tries of refund number %s, which it did not read", number))
	}
	return tries
}

// PutRefundTries puts the tries of a number's leg into a state made by hand.
func (s *State) PutRefundTries(number string, tries ...*RefundTry) { s.tries[number] = tries }

// learn applies what a request has learnt of a try.
func (s *State) learn(end *TryEnd) {
	if end == nil {
		return
	}
	if end.Answer != nil {
		end.Try.Answer = end.Answer
	}
	end.Try.Revised = end.Try.Revised || end.Revised
}

// readRefundTriesSQL looks in the batch's book, where all tries of a refund live. It goes from the number asked about to the first of its
// leg, and from each failure's case to the number under which that is sent again.
const readRefundTriesSQL = `
WITH RECURSIVE tries (asked, number) AS (
    SELECT asked.number, n.number
    FROM unnest($2::text[]) AS asked (number)
    JOIN requests s ON s.kind = 'refund:send' AND s.key = asked.number AND s.book = $1
    CROSS JOIN LATERAL (VALUES (asked.number), (refund_number(s.payload ->> 'refund_id', s.payload ->> 'leg'))) n (number)
    UNION
    SELECT t.asked, return_number(c.book, c.request_id, c.ordinal)
    FROM tries t
    JOIN requests a ON a.kind = 'refund:answer' AND a.key = t.number AND a.book = $1
    JOIN cases c ON c.book = a.book AND c.request_id = a.id AND c.kind = 'failed_refund'
)
SELECT t.asked, t.number, coalesce(o.result, '') = 'applied', coalesce(r.payload ->> 'result', ''),
       coalesce(r.payload ->> 'consented' = 'true', false), coalesce(((r.payload ->> 'amount')::numeric * 100)::bigint, 0),
       EXISTS (
           SELECT FROM requests v
           JOIN outcomes w ON w.book = v.book AND w.request_id = v.id AND w.result = 'applied'
           WHERE v.kind = 'refund:revise' AND v.key = t.number AND v.book = $1),
       coalesce(c.request_id, s.id), coalesce(c.kind, ''), coalesce(c.account, ''), coalesce(c.amount_fen, 0), coalesce(by.kind, '')
FROM tries t
JOIN requests s ON s.kind = 'refund:send' AND s.key = t.number AND s.book = $1
LEFT JOIN requests r ON r.kind = 'refund:answer' AND r.key = t.number AND r.book = $1
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
LEFT JOIN cases c ON c.book = r.book AND c.request_id = r.id AND c.ordinal = 0 AND c.kind = 'failed_refund'
LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal
LEFT JOIN requests by ON by.book = x.book AND by.id = x.closing_request_id
ORDER BY t.asked, s.id`

// queueRefundTries runs after queueCaseReads: a case that both read is one.
func queueRefundTries(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.tries) == 0 {
		return
	}
	numbers := make([]string, 0, len(reads.tries))
	for number := range reads.tries {
		numbers = append(numbers, number)
		state.tries[number] = nil
	}
	slices.Sort(numbers)
	known := map[string]*RefundTry{} // a leg may be asked about by several of its numbers
	queries.Queue(readRefundTriesSQL, state.book, numbers).Query(func(rows pgx.Rows) error {
		var asked, number string
		var applied, revised bool
		var answer ChannelAnswer
		var opened StandingCase
		var fen, caseFen int64
		_, err := pgx.ForEachRow(rows, []any{&asked, &number, &applied, &answer.Result, &answer.Consented, &fen, &revised,
			pguuid.Into(&opened.Ref.Request), &opened.Kind, &opened.Account, &caseFen, &opened.ClosedBy}, func() error {
			try := known[number]
			if try == nil {
				try = &RefundTry{Number: number, Revised: revised}
				if applied {
					found := answer
					found.Amount, found.Case = money.FromFen(fen), state.openedBy(opened, caseFen)
					try.Answer = &found
				}
				known[number] = try
			}
			state.tries[asked] = append(state.tries[asked], try)
			return nil
		})
		return err
	})
}

// openedBy is the case that an answer has opened; nil when its kind is empty.
func (s *State) openedBy(opened StandingCase, fen int64) *StandingCase {
	if opened.Kind == "" {
		return nil
	}
	opened.Ref.Book, opened.Amount = s.book, money.FromFen(fen)
	return s.shareCase(&opened)
}
