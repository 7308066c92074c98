package refund

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// tried is what has become of the money of a refund's leg, by all of its tries.
type tried struct {
	this     *ledger.RefundTry    // the try that is looked at; nil when nothing was sent under its number
	paid     string               // a number that the channel has paid, if any
	open     *ledger.StandingCase // of a failure, behind which the money stands
	stated   *ledger.StandingCase // closed by the statement that the channel had paid
	credited *ledger.StandingCase // by which a person gave it to the user
	asCash   bool                 // the user got it at once, with consent
}

// look sums up the tries of the leg that a number is of.
func look(tries []*ledger.RefundTry, number string) tried {
	var t tried
	for _, try := range tries {
		if try.Number == number {
			t.this = try
		}
		if try.Paid() {
			t.paid = try.Number
		}
		if try.Answer == nil {
			continue
		}
		t.asCash = t.asCash || try.Answer.Result == tasks.RefundFailed && try.Answer.Consented
		if opened := try.Answer.Case; opened != nil {
			switch opened.ClosedBy {
			case "":
				t.open = opened
			case tasks.CloseCase:
				t.stated = opened
			case tasks.CreditCase:
				t.credited = opened
			}
		}
	}
	return t
}

// decideRetry books the answer to a number under which a failed refund was sent again. An earlier number may have been paid meanwhile: then
// a failure leaves nothing to do, and a success is one too many.
func decideRetry(s *ledger.State, request *ledger.Request, p *tasks.RefundResult) ledger.Decision {
	t := look(s.RefundTries(p.Number), p.Number)
	answer := &ledger.ChannelAnswer{Result: p.Result, Consented: p.Consented, Amount: p.Amount}
	var d ledger.Decision
	switch {
	case p.Result == tasks.RefundSucceeded:
		d = bookPaid(s, (*tasks.RefundRevision)(p), t)
	case t.paid != "":
		d = ledger.Apply(fmt.Sprintf("%s answered %s (%q), and has paid number %s of the same money", p.Channel, p.Result, p.Reason, t.paid))
		answer.Consented = false // nobody is credited
	default:
		d = decideAnswer(s, p)
		if len(d.Cases) == 1 {
			opened := d.Cases[0]
			answer.Case = &ledger.StandingCase{Ref: tasks.CaseRef{Book: s.Book(), Request: request.ID}, Kind: opened.Kind, Account: opened.Account,
				Amount: opened.Amount}
		}
	}
	if t.this != nil {
		d.Learns = &ledger.TryEnd{Try: t.this, Answer: answer}
	}
	return d
}

// bookPaid books that a channel has paid a number of a user's refund, after what became of the leg's money by all of its numbers (R7).
func bookPaid(s *ledger.State, p *tasks.RefundRevision, t tried) ledger.Decision {
	switch {
	case t.open != nil:
		return paidAfterAll(s, p, t.open)
	case t.asCash:
		return paidTwice(s, p, "whose amount user "+p.UserID+" had already got as cash")
	case t.credited != nil:
		return paidTwice(s, p, fmt.Sprintf("and case %s of that amount had been closed by %s", t.credited.Ref, t.credited.ClosedBy))
	case t.paid != "":
		return paidTwice(s, p, "and number "+t.paid+" of the same money")
	case t.stated != nil:
		return ledger.Apply(fmt.Sprintf("%s has paid, as was stated when case %s was closed", p.Channel, t.stated.Ref))
	}
	// The first number of the leg that is paid: another may still be asked, and is one too many when it is paid too.
	d := ledger.Apply(string(p.Channel) + " has paid")
	d.Move(s.Account(ledger.ChannelRefunding(p.Channel)), s.Account(ledger.ChannelClearing(p.Channel)), p.Amount)
	return d
}

// paidAfterAll takes the money of an open case, which the channel has paid, from where it stands, and closes the case.
func paidAfterAll(s *ledger.State, p *tasks.RefundRevision, opened *ledger.StandingCase) ledger.Decision {
	d := ledger.Apply(fmt.Sprintf("%s has paid after all: the case %s of number %s is over", p.Channel, opened.Kind, p.Number))
	d.Move(s.Account(opened.Account), s.Account(ledger.ChannelClearing(p.Channel)), p.Amount)
	d.Closes = &ledger.Closing{Case: opened, Kind: tasks.RefundRevise, By: tasks.BySettled, Note: string(p.Channel) + " has paid after all"}
	return d
}
