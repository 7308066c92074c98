package wallet

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// TransferSend is the rule of transfer:send: cash goes to another user. When the recipient lives in another book, it goes to what
// this book owes that one, and a follow-up credits the recipient there (W6).
func TransferSend() ledger.Rule { return ledger.NewRule(readTransfer, sendTransfer) }

// TransferReceive is the rule of transfer:receive, the second half of a transfer between two books. It is never refused.
func TransferReceive() ledger.Rule { return ledger.NewRule(readArrival, receiveTransfer) }

// readTransfer names the recipient without knowing its book: in another book the account is looked up and not found.
func readTransfer(p *tasks.Transfer, r *ledger.Reads) {
	r.Account(ledger.UserCash(p.FromUserID))
	r.Account(ledger.UserCash(p.ToUserID))
}

func sendTransfer(s *ledger.State, _ *ledger.Request, p *tasks.Transfer) ledger.Decision {
	sender := s.Account(ledger.UserCash(p.FromUserID))
	if !sender.Exists() {
		return ledger.Reject(tasks.NoAccount, "the sender has no cash account")
	}
	if sender.Available().Cmp(p.Amount) < 0 {
		return ledger.Reject(tasks.InsufficientFunds, shortOf(tasks.SourceCash, p.Amount, sender.Available()))
	}
	book := tasks.BookOf(p.ToUserID, s.Books())
	if book == s.Book() {
		d := ledger.Apply("")
		d.Move(sender, s.Account(ledger.UserCash(p.ToUserID)), p.Amount)
		return d
	}
	d := ledger.Apply(fmt.Sprintf("the recipient is in book %d", book))
	d.Move(sender, s.Account(ledger.Interbook(book)), p.Amount)
	d.FollowUps = []tasks.Payload{&tasks.TransferArrival{TransferID: p.TransferID, FromBook: s.Book(), ToUserID: p.ToUserID,
		Amount: p.Amount, OccurredAt: p.OccurredAt}}
	return d
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
