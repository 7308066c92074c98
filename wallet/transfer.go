package wallet

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// TransferSend is the rule of transfer:send: cash goes to another user. When the recipient lives in another book, it goes to what
// this book owes that one, and a follow-up credits the recipient there (W6). What a user sends on a business date stays within the policy's
// limits of a day (W8).
func TransferSend() ledger.Rule { return ledger.NewDatedRule(readTransfer, sendTransfer) }

// TransferReceive is the rule of transfer:receive, the second half of a transfer between two books. It is never refused.
func TransferReceive() ledger.Rule { return ledger.NewRule(readArrival, receiveTransfer) }

// readTransfer names the recipient without knowing its book: in another book the account is looked up and not found.
func readTransfer(p *tasks.Transfer, businessDate string, r *ledger.Reads) {
	r.Account(ledger.UserCash(p.FromUserID))
	r.Account(ledger.UserCash(p.ToUserID))
	r.SentDay(p.FromUserID, businessDate)
}

// sendTransfer refuses for the first of these that is so: the sender has no account, too little money, nothing left of the day's limits.
func sendTransfer(s *ledger.State, request *ledger.Request, p *tasks.Transfer) ledger.Decision {
	sender := s.Account(ledger.UserCash(p.FromUserID))
	if !sender.Exists() {
		return ledger.Reject(tasks.NoAccount, "the sender has no cash account")
	}
	if sender.Available().Cmp(p.Amount) < 0 {
		return ledger.Reject(tasks.InsufficientFunds, shortOf(tasks.SourceCash, p.Amount, sender.Available()))
	}
	day := s.SentDay(p.FromUserID, request.BusinessDate)
	if problem := beyondLimits(s.Policy(), day, p.Amount); problem != "" {
		return ledger.Reject(tasks.TransferLimit, problem)
	}
	book := tasks.BookOf(p.ToUserID, s.Books())
	if book == s.Book() {
		d := ledger.Apply("")
		d.Sends = &ledger.Sending{Day: day, Amount: p.Amount}
		d.Move(sender, s.Account(ledger.UserCash(p.ToUserID)), p.Amount)
		return d
	}
	d := ledger.Apply(fmt.Sprintf("the recipient is in book %d", book))
	d.Sends = &ledger.Sending{Day: day, Amount: p.Amount}
	d.Move(sender, s.Account(ledger.Interbook(book)), p.Amount)
	d.FollowUps = []tasks.Payload{&tasks.TransferArrival{TransferID: p.TransferID, FromBook: s.Book(), ToUserID: p.ToUserID,
		Amount: p.Amount, OccurredAt: p.OccurredAt}}
	return d
}

// beyondLimits says why a transfer does not fit into what is left of its sender's day; empty when it does. A policy that was lowered during
// the day may leave less than nothing.
func beyondLimits(policy *tasks.Policy, day *ledger.SentDay, amount money.Amount) string {
	left, transfersLeft := policy.TransferredPerDayMax.Sub(day.Amount), policy.TransfersPerDayMax-day.Transfers
	if transfersLeft >= 1 && amount.Cmp(left) <= 0 {
		return ""
	}
	if left.IsNegative() {
		left = money.Amount{}
	}
	return fmt.Sprintf("needed %s, left %s in %d transfers; a day has %s in %d, sent on %s were %s in %d", amount, left, max(0, transfersLeft),
		policy.TransferredPerDayMax, policy.TransfersPerDayMax, day.BusinessDate, day.Amount, day.Transfers)
}

func readArrival(p *tasks.TransferArrival, r *ledger.Reads) { r.Account(ledger.UserCash(p.ToUserID)) }

func receiveTransfer(s *ledger.State, _ *ledger.Request, p *tasks.TransferArrival) ledger.Decision {
	d := ledger.Apply("")
	d.Move(s.Account(ledger.Interbook(p.FromBook)), s.Account(ledger.UserCash(p.ToUserID)), p.Amount)
	return d
}

// shortOf says which bucket has too little.
func shortOf(bucket tasks.Source, needed, available money.Amount) string {
	return string(bucket) + ": needed " + needed.String() + ", available " + available.String()
}
