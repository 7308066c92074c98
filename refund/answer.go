package refund

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Send is the rule of refund:send. It is applied after the channel has answered and the answer is stored as a refund:answer; it moves
// nothing.
func Send() ledger.Rule {
	return ledger.NewRule(func(*tasks.RefundOrder, *ledger.Reads) {}, sendRefund)
}

func sendRefund(_ *ledger.State, _ *ledger.Request, p *tasks.RefundOrder) ledger.Decision {
	return ledger.Apply(string(p.Channel) + " has answered; see " + string(tasks.RefundAnswer) + " " + p.Number)
}

// Answer is the rule of refund:answer: a channel's final answer moves the money out of refunding, or asks a person. Only settled
// asks for it, from the refund order that it answers, so amount and owner are taken from the request. It wakes what would revise it.
func Answer() ledger.Rule { return ledger.NewRule(readAnswer, bookAnswer) }

func readAnswer(p *tasks.RefundResult, r *ledger.Reads) {
	if isRetry(p) {
		r.RefundTries(p.Number)
	}
	if goesToCash(p) {
		r.Account(ledger.UserCash(p.UserID))
	}
}

func bookAnswer(s *ledger.State, request *ledger.Request, p *tasks.RefundResult) ledger.Decision {
	var d ledger.Decision
	if isRetry(p) {
		d = decideRetry(s, request, p)
	} else {
		d = decideAnswer(s, p)
	}
	d.Wakes = []string{answerTo(p.Number)}
	return d
}

// isRetry says that an answer is to a number under which a failed refund was sent again. A payment that stood in suspense is none: each of
// its returns takes it from there anew.
func isRetry(p *tasks.RefundResult) bool { return p.CaseID == "" && !isFirst(p.Number) }

// answerTo is what a revision waits for whose answer is not decided.
func answerTo(number string) string { return string(tasks.RefundAnswer) + "/" + number }

func decideAnswer(s *ledger.State, p *tasks.RefundResult) ledger.Decision {
	refunding := s.Account(ledger.ChannelRefunding(p.Channel))
	switch {
	case p.Result == tasks.RefundSucceeded:
		d := ledger.Apply(string(p.Channel) + " has paid")
		d.Move(refunding, s.Account(ledger.ChannelClearing(p.Channel)), p.Amount)
		return d
	case p.CaseID != "" && p.Result == tasks.RefundFailed:
		return returnFailed(s, p)
	case goesToCash(p):
		d := ledger.Apply(fmt.Sprintf("%s cannot pay (%q), the user's cash is credited", p.Channel, p.Reason))
		d.Move(refunding, s.Account(ledger.UserCash(p.UserID)), p.Amount)
		return d
	default:
		// Also for an end that this version does not know: leaving the money where it is loses nothing.
		detail := fmt.Sprintf("%s answered %s (%q) to refund %s, number %s, of user %s", p.Channel, p.Result, p.Reason, p.RefundID,
			p.Number, p.UserID)
		d := ledger.Apply("no consent to credit the balance, a person decides")
		d.Cases = []ledger.Case{{Kind: ledger.FailedRefund, Account: ledger.ChannelRefunding(p.Channel), Amount: p.Amount, Detail: detail}}
		return d
	}
}

// returnFailed takes a payment that its channel did not take back to suspense, and asks a person again, by a case of its own: the one by
// which it was sent has had its way out.
func returnFailed(s *ledger.State, p *tasks.RefundResult) ledger.Decision {
	suspense := ledger.Suspense(p.Channel)
	d := ledger.Apply(fmt.Sprintf("%s cannot pay (%q), a person decides", p.Channel, p.Reason))
	d.Move(s.Account(ledger.ChannelRefunding(p.Channel)), s.Account(suspense), p.Amount)
	d.Cases = []ledger.Case{{Kind: ledger.FailedReturn, Account: suspense, Amount: p.Amount, Detail: fmt.Sprintf(
		"%s answered %s (%q) to the return of case %s, number %s", p.Channel, p.Result, p.Reason, p.CaseID, p.Number)}}
	return d
}

func goesToCash(p *tasks.RefundResult) bool {
	return p.Result == tasks.RefundFailed && p.Consented && p.CaseID == ""
}
