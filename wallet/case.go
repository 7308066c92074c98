package wallet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// CreditCase is the rule of case:credit: all the money that stands behind a case becomes a user's cash, and the case is closed (W7). When
// the user lives in another book it goes there as a transfer's does (W6). What a refund could not pay is credited to its order's user alone;
// whose a payment in suspense is, the person says.
func CreditCase() ledger.Rule { return ledger.NewRule(readCredit, creditCase) }

// ReturnCase is the rule of case:return: a payment that stands in suspense is sent back through its channel, whole, or a refund that failed
// is sent again, and the case is closed (W7). A follow-up asks the channel, under the case's own number (ReturnNumber). Should the channel
// not pay, the payment comes back to suspense, and what was a refund's stays in refunding, under a new case. A refund whose money the channel
// holds (tasks.RefundResult.HeldByChannel) is not sent again: that would be paid from other money. Nor is one beyond its channel's limits.
func ReturnCase() ledger.Rule { return ledger.NewRule(readReturn, returnCase) }

// CloseCase is the rule of case:close: a case is closed by a statement of what became of its money outside of the books. Money that stands
// behind it goes where the statement says that it went; only a case without any is closed with nothing moved, and one whose money a worker
// of an older version has moved there (ledger.StandingCase.Revised).
func CloseCase() ledger.Rule { return ledger.NewRule(readClosing, closeCase) }

// caseOf is the case that a validated id names.
func caseOf(id string) tasks.CaseRef {
	ref, _ := tasks.ParseCaseID(id)
	return ref
}

func readCredit(p *tasks.CaseCredit, r *ledger.Reads) {
	r.Case(caseOf(p.CaseID))
	r.Account(ledger.UserCash(p.UserID))
}

func readReturn(p *tasks.CaseReturn, r *ledger.Reads) { r.Case(caseOf(p.CaseID)) }

func readClosing(p *tasks.CaseClosing, r *ledger.Reads) { r.Case(caseOf(p.CaseID)) }

// refusePayout is refuseCase for a way out by which somebody gets the money: nobody gets what the channel has paid.
func refusePayout(s *ledger.State, id string) (*ledger.StandingCase, tasks.Reason, string) {
	found, reason, detail := refuseCase(s, id)
	if reason == "" && found.Revised {
		return nil, tasks.CaseIsClosed, "the channel has paid what case " + id + " asks about; close it as paid at the channel"
	}
	return found, reason, detail
}

// refuseCase finds why nothing can be done about a case: it is not there, or has had its way out. The reason is empty when it is open.
func refuseCase(s *ledger.State, id string) (*ledger.StandingCase, tasks.Reason, string) {
	found, ok := s.Case(caseOf(id))
	switch {
	case !ok:
		return nil, tasks.NoSuchCase, "book " + fmt.Sprint(s.Book()) + " has no case " + id
	case found.ClosedBy != "":
		return nil, tasks.CaseIsClosed, "case " + id + " was closed by " + string(found.ClosedBy)
	}
	return found, "", ""
}

func creditCase(s *ledger.State, request *ledger.Request, p *tasks.CaseCredit) ledger.Decision {
	found, reason, detail := refusePayout(s, p.CaseID)
	switch {
	case reason != "":
		return ledger.Reject(reason, detail)
	case !found.Kind.HasMoney():
		return ledger.Reject(tasks.CaseHasNoMoney, shortageOf(found))
	case !mayOwn(p.UserID, found):
		return ledger.Reject(tasks.OrderOfAnotherUser, "case "+p.CaseID+" is of a refund of another user's order")
	}
	d := ledger.Apply("")
	d.Closes = &ledger.Closing{Case: found, Kind: tasks.CreditCase, By: p.By, Note: p.Note}
	book := tasks.BookOf(p.UserID, s.Books())
	if book == s.Book() {
		d.Move(s.Account(found.Account), s.Account(ledger.UserCash(p.UserID)), found.Amount)
		return d
	}
	d = d.WithDetail(fmt.Sprintf("the user is in book %d", book))
	d.Move(s.Account(found.Account), s.Account(ledger.Interbook(book)), found.Amount)
	d.FollowUps = []tasks.Payload{&tasks.TransferArrival{CaseID: p.CaseID, FromBook: s.Book(), ToUserID: p.UserID, Amount: found.Amount,
		OccurredAt: request.OccurredAt}}
	return d
}

// mayOwn says whether a case's money may be a user's. Whose a refund was is read from what its channel was asked, which was made from the
// order, or, when none was asked, from the refund, whose user is the order's (R6 of package refund); of a payment that stood in suspense
// nobody knows it but the person who decides.
func mayOwn(userID string, found *ledger.StandingCase) bool {
	switch found.Kind {
	case ledger.FailedRefund:
		return found.Sent != nil && (found.Sent.CaseID != "" || found.Sent.UserID == userID)
	case ledger.UnreturnableRefund:
		return found.OwnerID == userID
	default:
		return true
	}
}

func returnCase(s *ledger.State, request *ledger.Request, p *tasks.CaseReturn) ledger.Decision {
	found, reason, detail := refusePayout(s, p.CaseID)
	switch {
	case reason != "":
		return ledger.Reject(reason, detail)
	case found.Payment == ledger.Receipt{} && (found.Kind != ledger.FailedRefund || found.Sent == nil):
		return ledger.Reject(tasks.CaseHasNoPayment,
			"a case of kind "+string(found.Kind)+" is neither of a payment in suspense nor of a refund that failed")
	case found.Answer != nil && !found.Answer.TakesAnotherNumber():
		return ledger.Reject(tasks.ChannelHoldsMoney, heldOf(found.Answer))
	}
	if found.Kind == ledger.FailedRefund {
		// Refused there, its number would be dead, and its case, the only way out for the money, closed.
		if limit := s.Policy().BeyondLimit(found.Sent.Channel, found.CapturedAt, s.At(), found.Asked); limit != "" {
			return ledger.Reject(tasks.ChannelLimit, limit+": credit the owner, or close it")
		}
	}
	d := ledger.Apply("")
	d.Closes = &ledger.Closing{Case: found, Kind: tasks.ReturnCase, By: p.By, Note: p.Note}
	if found.Kind == ledger.FailedRefund {
		d.FollowUps = []tasks.Payload{again(found.Sent, request, p)}
		return d
	}
	payment := found.Payment
	d.Move(s.Account(found.Account), s.Account(ledger.ChannelRefunding(payment.Channel)), found.Amount)
	d.FollowUps = []tasks.Payload{&tasks.RefundOrder{Number: ReturnNumber(p.CaseID), CaseID: p.CaseID, Channel: payment.Channel,
		ChannelTxnID: payment.TxnID, Captured: found.Amount, Amount: found.Amount, OccurredAt: request.OccurredAt}}
	return d
}

// again is a refund's order under the case's number. The money is in refunding already: it is the leg's until a number of it is paid.
func again(sent *tasks.RefundOrder, request *ledger.Request, p *tasks.CaseReturn) *tasks.RefundOrder {
	order := *sent
	order.Number, order.OccurredAt = ReturnNumber(p.CaseID), request.OccurredAt // channels find a number by its time too
	return &order
}

// heldOf says why a refund that has ended is not to be asked for again, and what to do.
func heldOf(answer *tasks.RefundResult) string {
	if answer.HeldByChannel() {
		return "the channel holds the money: apply for the abnormal refund in its pages (to the merchant's card), then credit the owner, or close it"
	}
	return fmt.Sprintf("%s ended number %s as %s, which this version does not know: it may have been paid", answer.Channel, answer.Number,
		answer.Result)
}

func closeCase(s *ledger.State, _ *ledger.Request, p *tasks.CaseClosing) ledger.Decision {
	found, reason, detail := refuseCase(s, p.CaseID)
	switch {
	case reason != "":
		return ledger.Reject(reason, detail)
	case found.Kind.HasMoney() && p.Statement == tasks.ShortageStays:
		return ledger.Reject(tasks.CaseHasMoney, fmt.Sprintf("%s stand behind it in %s", found.Amount, found.Account))
	case !found.Kind.HasMoney() && p.Statement != tasks.ShortageStays:
		return ledger.Reject(tasks.CaseHasNoMoney, shortageOf(found))
	}
	d := ledger.Apply("")
	d.Closes = &ledger.Closing{Case: found, Kind: tasks.CloseCase, By: p.By, Note: p.Note}
	if found.Kind.HasMoney() && !isGone(found) {
		d.Move(s.Account(found.Account), s.Account(ledger.ChannelClearing(found.Account.Channel())), found.Amount)
	}
	return d
}

// isGone says that a case's money has left the books at its channel already, although it is open.
func isGone(found *ledger.StandingCase) bool {
	return found.Revised && found.Kind == ledger.FailedRefund
}

func shortageOf(found *ledger.StandingCase) string {
	return fmt.Sprintf("nothing stands behind it: %s is short of %s", found.Account, found.Amount)
}

// ReturnNumber is the refund number under which a channel is asked to pay a case's payment back: the same every time, another for every
// case, and none of a refund's, which begin otherwise. Every channel takes its 32 letters and digits.
func ReturnNumber(caseID string) string {
	sum := sha256.Sum256([]byte(caseID))
	return ("rc" + hex.EncodeToString(sum[:]))[:32]
}
