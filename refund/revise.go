package refund

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Revise is the rule of refund:revise: a channel that had answered that a refund failed has paid it. It moves what the success would have
// moved, once the failure is applied, and is parked until then. The failure's case is over with it, and so is the case of a later number of
// the same money; when the money had been paid in another way by then, it was paid twice. An answer that is rejected, was no failure, or is
// of another amount is not revised. Only settled asks for it, so amount and owner are taken from the request.
func Revise() ledger.Rule { return ledger.NewRule(readRevision, bookRevision) }

func readRevision(p *tasks.RefundRevision, r *ledger.Reads) {
	if p.CaseID != "" {
		r.ChannelAnswer(p.Number)
		return
	}
	r.RefundTries(p.Number)
}

func bookRevision(s *ledger.State, _ *ledger.Request, p *tasks.RefundRevision) ledger.Decision {
	if p.CaseID != "" {
		failure, _ := s.ChannelAnswer(p.Number)
		if d, revised := refuseRevision(p, failure); !revised {
			return d
		}
		return reviseReturn(s, p, failure.Case)
	}
	t := look(s.RefundTries(p.Number), p.Number)
	var failure *ledger.ChannelAnswer
	if t.this != nil {
		failure = t.this.Answer
	}
	if d, revised := refuseRevision(p, failure); !revised {
		return d
	}
	d := bookPaid(s, p, t)
	d.Learns = &ledger.TryEnd{Try: t.this, Revised: true}
	return d
}

// refuseRevision says whether an answer is one that the revision revises; if not, what becomes of it: it waits for one that is not applied.
func refuseRevision(p *tasks.RefundRevision, failure *ledger.ChannelAnswer) (_ ledger.Decision, revised bool) {
	switch {
	case failure == nil:
		none := fmt.Sprintf("no answer to number %s is applied that could be revised", p.Number)
		return ledger.Park(answerTo(p.Number)).OrElsewhere(tasks.AnswerMatchesNoRefund, none).OrRejected(tasks.AnswerMatchesNoRefund, none), false
	case failure.Result != tasks.RefundFailed || p.Result != tasks.RefundSucceeded || failure.Amount != p.Amount:
		return ledger.Reject(tasks.AnswerMatchesNoRefund, fmt.Sprintf("number %s was answered %s of %s, which %s of %s does not revise",
			p.Number, failure.Result, failure.Amount, p.Result, p.Amount)), false
	}
	return ledger.Decision{}, true
}

// reviseReturn books that a channel has paid the return of a payment that stood in suspense, after the case that its failure has opened.
func reviseReturn(s *ledger.State, p *tasks.RefundRevision, opened *ledger.StandingCase) ledger.Decision {
	switch {
	case opened == nil:
		return paidTwice(s, p, "and no case of its failure was opened")
	case opened.ClosedBy == "":
		return paidAfterAll(s, p, opened)
	case opened.ClosedBy == tasks.CloseCase:
		return ledger.Apply(fmt.Sprintf("%s has paid, as was stated when case %s was closed", p.Channel, opened.Ref))
	default:
		return paidTwice(s, p, fmt.Sprintf("and case %s of that amount had been closed by %s", opened.Ref, opened.ClosedBy))
	}
}

// paidTwice books the channel's payment and asks to have it back: why tells who had got it before.
func paidTwice(s *ledger.State, p *tasks.RefundRevision, why string) ledger.Decision {
	refunding := ledger.ChannelRefunding(p.Channel)
	what := "refund " + p.RefundID
	if p.CaseID != "" {
		what = "the return of case " + p.CaseID
	}
	d := ledger.Apply(fmt.Sprintf("%s has paid after all, and it was paid before: paid twice", p.Channel))
	d.Move(s.Account(refunding), s.Account(ledger.ChannelClearing(p.Channel)), p.Amount)
	d.Cases = []ledger.Case{{Kind: ledger.PaidTwice, Account: refunding, Amount: p.Amount,
		Detail: fmt.Sprintf("%s has paid %s, number %s, %s", p.Channel, what, p.Number, why)}}
	return d
}
