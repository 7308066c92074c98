package refund

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// PaidTwice is the kind of case that asks a person to have back what a user got twice: as cash, when the channel could not pay, and from
// the channel, which has paid after all.
const PaidTwice = "paid_twice"

// Revise is the rule of refund:revise: a channel that had answered that a refund failed has paid it. It moves what the success would have
// moved, once the failure is applied, and is parked until then. An answer that is rejected, was no failure, or is of another amount is
// not revised. Only settled asks for it, so amount and owner are taken from the request.
func Revise() ledger.Rule { return ledger.NewRule(readRevision, bookRevision) }

func readRevision(p *tasks.RefundRevision, r *ledger.Reads) { r.ChannelAnswer(p.Number) }

func bookRevision(s *ledger.State, _ *ledger.Request, p *tasks.RefundRevision) ledger.Decision {
	failure, applied := s.ChannelAnswer(p.Number)
	switch {
	case !applied:
		none := fmt.Sprintf("no answer to number %s is applied that could be revised", p.Number)
		return ledger.Park(answerTo(p.Number)).OrElsewhere(tasks.AnswerMatchesNoRefund, none).OrRejected(tasks.AnswerMatchesNoRefund, none)
	case failure.Result != tasks.RefundFailed || p.Result != tasks.RefundSucceeded || failure.Amount != p.Amount:
		return ledger.Reject(tasks.AnswerMatchesNoRefund, fmt.Sprintf("number %s was answered %s of %s, which %s of %s does not revise",
			p.Number, failure.Result, failure.Amount, p.Result, p.Amount))
	}
	refunding := ledger.ChannelRefunding(p.Channel)
	d := ledger.Apply(fmt.Sprintf("%s has paid after all: the case %s of number %s is over", p.Channel, FailedRefund, p.Number))
	if failure.Consented {
		d = ledger.Apply(fmt.Sprintf("%s has paid after all, and the user's cash was credited: paid twice", p.Channel))
		d.Cases = []ledger.Case{{Kind: PaidTwice, Account: refunding, Amount: p.Amount, Detail: fmt.Sprintf(
			"%s has paid refund %s, number %s, whose amount user %s had already got as cash", p.Channel, p.RefundID, p.Number, p.UserID)}}
	}
	d.Move(s.Account(refunding), s.Account(ledger.ChannelClearing(p.Channel)), p.Amount)
	return d
}
