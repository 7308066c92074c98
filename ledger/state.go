package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Reads collects the rows that a batch's rules will look at. Naming a row twice reads it once.
type Reads struct {
	accounts   map[AccountName]struct{}
	orders     map[string]bool // with lines?
	receipts   map[Receipt]struct{}
	enrolments map[enrolmentKey]struct{}
	pages      map[pageKey]struct{}
	answers    map[string]struct{} // by refund numbers
	cases      map[tasks.CaseRef]struct{}
	sent       map[sentKey]struct{}
	tries      map[string]struct{} // by refund numbers
}

type enrolmentKey struct{ productID, userID string }

type pageKey struct{ productID, after string }

// newReads has room for an account and an order of each request: maps that grow cost a batch a twentieth of its processor time.
func newReads(requests int) *Reads {
	return &Reads{accounts: make(map[AccountName]struct{}, requests), orders: make(map[string]bool, requests),
		receipts: map[Receipt]struct{}{}, enrolments: map[enrolmentKey]struct{}{}, pages: map[pageKey]struct{}{},
		answers: map[string]struct{}{}, cases: map[tasks.CaseRef]struct{}{}, sent: map[sentKey]struct{}{},
		tries: map[string]struct{}{}}
}

// Account reads a user's account, whether it exists or not. Accounts that are not guarded need not be read: no rule may depend on
// what they hold.
func (r *Reads) Account(name AccountName) { r.accounts[name] = struct{}{} }

// Order reads an order, its legs, and the user's accounts that paid them.
func (r *Reads) Order(orderID string) {
	if !r.orders[orderID] {
		r.orders[orderID] = false
	}
}

// OrderWithLines reads an order as Order does, and its lines.
func (r *Reads) OrderWithLines(orderID string) { r.orders[orderID] = true }

// Receipt reads whether a channel's payment has funded a request.
func (r *Reads) Receipt(receipt Receipt) { r.receipts[receipt] = struct{}{} }

// ChannelAnswer reads what a channel has answered to a refund's number of this book, as far as it was applied, and the case that the
// answer has opened.
func (r *Reads) ChannelAnswer(number string) { r.answers[number] = struct{}{} }

// Enrolment reads a user's enrolment in a product.
func (r *Reads) Enrolment(productID, userID string) {
	r.enrolments[enrolmentKey{productID, userID}] = struct{}{}
}

// SweepPage reads the next users enrolled in a product after a user, with their accounts, up to the policy's SweepUsersMax.
func (r *Reads) SweepPage(productID, afterUserID string) {
	r.pages[pageKey{productID, afterUserID}] = struct{}{}
}

// State is what a batch locked and read, as the requests decided so far have left it.
type State struct {
	book   int
	books  int
	policy tasks.Policy
	at     time.Time

	accounts   map[AccountName]*Account
	byID       map[int64]*Account
	orders     map[string]*Order // nil: read and not there
	withLines  map[string]bool
	receipts   map[Receipt]bool
	enrolments map[enrolmentKey]*Enrolment
	pages      map[pageKey][]Enrolment
	answers    map[string]*ChannelAnswer // nil: read and not applied when the batch began
	cases      map[tasks.CaseRef]*StandingCase
	sent       map[sentKey]*SentDay
	tries      map[string][]*RefundTry // by the number that was asked about
}

// ChannelAnswer is what an applied refund:answer says.
type ChannelAnswer struct {
	Result    tasks.RefundEnd
	Consented bool
	Amount    money.Amount
	Case      *StandingCase // that it has opened; nil when it opened none
}

// NewState makes an empty working set of one book. Tests of rules fill it with Put calls.
func NewState(book, books int, policy tasks.Policy) *State {
	return newState(book, books, policy, newReads(0))
}

// newState has room for what will be read.
func newState(book, books int, policy tasks.Policy, reads *Reads) *State {
	accounts, orders := len(reads.accounts)+len(reads.orders), len(reads.orders)
	return &State{book: book, books: books, policy: policy, accounts: make(map[AccountName]*Account, accounts),
		byID: make(map[int64]*Account, accounts), orders: make(map[string]*Order, orders), withLines: make(map[string]bool, orders),
		receipts: map[Receipt]bool{}, enrolments: map[enrolmentKey]*Enrolment{}, pages: map[pageKey][]Enrolment{},
		answers: map[string]*ChannelAnswer{}, cases: map[tasks.CaseRef]*StandingCase{}, sent: map[sentKey]*SentDay{},
		tries: map[string][]*RefundTry{}}
}

// Book is the book that the batch locked.
func (s *State) Book() int { return s.book }

// Books is the number of books.
func (s *State) Books() int { return s.books }

// Policy is the business settings that count for this batch.
func (s *State) Policy() *tasks.Policy { return &s.policy }

// At is the time of the batch: what is decided is decided at it.
func (s *State) At() time.Time { return s.at }

// PutTime gives a state made by hand its time.
func (s *State) PutTime(at time.Time) { s.at = at }

// Account finds an account. A guarded one must have been read.
func (s *State) Account(name AccountName) *Account {
	account, ok := s.accounts[name]
	if !ok {
		kind := name.Kind()
		if kind.Guarded() {
			panic(fmt.Sprintf("rule looks at %s, which it did not read", name))
		}
		account = &Account{name: name, kind: kind}
		s.accounts[name] = account
	}
	return account
}

// Order finds an order that was read; false when it was not captured. Its lines are there if they were read.
func (s *State) Order(orderID string) (*Order, bool) {
	order, ok := s.orders[orderID]
	if !ok {
		panic(fmt.Sprintf("rule looks at order %s, which it did not read", orderID))
	}
	return order, order != nil
}

// Funded says whether a channel's payment, which was read, has funded a request.
func (s *State) Funded(receipt Receipt) bool {
	funded, ok := s.receipts[receipt]
	if !ok {
		panic(fmt.Sprintf("rule looks at payment %s of %s, which it did not read", receipt.TxnID, receipt.Channel))
	}
	return funded
}

// ChannelAnswer finds a channel's answer to a refund's number, which was read; false while it is not applied. One that is applied
// earlier in the same batch is not found: who parks for it is woken by that batch.
func (s *State) ChannelAnswer(number string) (*ChannelAnswer, bool) {
	answer, ok := s.answers[number]
	if !ok {
		panic(fmt.Sprintf("rule looks at the answer to refund number %s, which it did not read", number))
	}
	return answer, answer != nil
}

// Enrolment finds an enrolment that was read; false when there is none.
func (s *State) Enrolment(productID, userID string) (*Enrolment, bool) {
	enrolment, ok := s.enrolments[enrolmentKey{productID, userID}]
	if !ok {
		panic(fmt.Sprintf("rule looks at the enrolment of %s, which it did not read", userID))
	}
	return enrolment, enrolment != nil
}

// SweepPage lists the enrolments of a page that was read, in the order of user ids. Fewer than SweepUsersMax means that it is the
// last.
func (s *State) SweepPage(productID, afterUserID string) []Enrolment {
	page, ok := s.pages[pageKey{productID, afterUserID}]
	if !ok {
		panic(fmt.Sprintf("rule looks at the page after %q, which it did not read", afterUserID))
	}
	return page
}

// PutAccount puts a user's account into a state made by hand. A negative balance means that it was not opened.
func (s *State) PutAccount(name AccountName, balance money.Amount) *Account {
	account := &Account{name: name, kind: name.Kind()}
	if !balance.IsNegative() {
		account.id, account.balance = int64(len(s.accounts)+1), balance.Fen()
	}
	s.accounts[name] = account
	return account
}

// PutOrder puts an order into a state made by hand; nil means that it was read and not there.
func (s *State) PutOrder(orderID string, order *Order) {
	s.orders[orderID], s.withLines[orderID] = order, true
}

// PutReceipt says in a state made by hand whether a channel's payment has funded a request.
func (s *State) PutReceipt(receipt Receipt, funded bool) { s.receipts[receipt] = funded }

// PutChannelAnswer puts a channel's answer into a state made by hand; nil means that it was read and none is applied.
func (s *State) PutChannelAnswer(number string, answer *ChannelAnswer) { s.answers[number] = answer }

// PutEnrolment puts an enrolment into a state made by hand; nil means that there is none.
func (s *State) PutEnrolment(productID, userID string, enrolment *Enrolment) {
	s.enrolments[enrolmentKey{productID, userID}] = enrolment
}

// PutSweepPage puts a page into a state made by hand.
func (s *State) PutSweepPage(productID, afterUserID string, page []Enrolment) {
	s.pages[pageKey{productID, afterUserID}] = page
}

// ErrBrokenInvariant says that a rule decided something that the books refuse. It is a bug in the rule: its request is dead.
var ErrBrokenInvariant = errors.New("decision breaks an invariant")

// Post applies a decision to the state, so that later requests see it. It applies all of it or, with ErrBrokenInvariant, nothing.
func (s *State) Post(decision Decision) error {
	if err := decision.checkRows(); err != nil {
		return err
	}
	for i, transfer := range decision.Transfers {
		if err := s.postTransfer(transfer); err != nil {
			s.unpostTransfers(decision.Transfers[:i])
			return err
		}
	}
	for i, refund := range decision.LegRefunds {
		leg := &refund.Order.Legs[refund.Leg]
		if !refund.Amount.IsPositive() || refund.Amount.Cmp(leg.Remaining()) > 0 {
			for _, earlier := range decision.LegRefunds[:i] {
				undone := &earlier.Order.Legs[earlier.Leg]
				undone.Refunded = undone.Refunded.Sub(earlier.Amount)
				undone.Asked -= earlier.asked()
			}
			s.unpostTransfers(decision.Transfers)
			return fmt.Errorf("%w: I6: refund of %s to leg %d of order %s, of which %s remain", ErrBrokenInvariant, refund.Amount,
				refund.Leg, refund.Order.ID, leg.Remaining())
		}
		leg.Refunded = leg.Refunded.Add(refund.Amount)
		leg.Asked += refund.asked()
	}
	s.postRows(decision)
	return nil
}

func (r LegRefund) asked() int {
	if r.Asked {
		return 1
	}
	return 0
}

// checkRows refuses a decision that names rows which are not there, before anything is applied.
func (d *Decision) checkRows() error {
	for _, t := range d.Transfers {
		if t.Debit == nil || t.Credit == nil {
			return fmt.Errorf("%w: I1: transfer of %s lacks an account", ErrBrokenInvariant, t.Amount)
		}
	}
	for _, r := range d.LegRefunds {
		if r.Order == nil || r.Leg < 0 || r.Leg >= len(r.Order.Legs) {
			return fmt.Errorf("%w: I6: refund of %s to leg %d, which the order does not have", ErrBrokenInvariant, r.Amount, r.Leg)
		}
	}
	for _, r := range d.LineRefunds {
		if r.Order == nil {
			return fmt.Errorf("%w: I6: refund of line %s of no order", ErrBrokenInvariant, r.LineID)
		}
		if line, ok := r.Order.Line(r.LineID); !ok || len(line.Refunded) != len(r.PerLeg) {
			return fmt.Errorf("%w: I6: refund of line %s, which order %s does not have like this", ErrBrokenInvariant, r.LineID, r.Order.ID)
		}
	}
	for _, e := range d.Enrolments {
		if e.Cash == nil || e.Wealth == nil {
			return fmt.Errorf("%w: I8: enrolment of %s lacks an account", ErrBrokenInvariant, e.UserID)
		}
	}
	if err := d.checkSending(); err != nil {
		return err
	}
	return d.checkClosing()
}

func (s *State) postTransfer(transfer Transfer) error {
	fen := transfer.Amount.Fen()
	switch {
	case fen <= 0 || transfer.Debit == transfer.Credit:
		return fmt.Errorf("%w: I1: transfer of %s from %s to %s", ErrBrokenInvariant, transfer.Amount, transfer.Debit.name,
			transfer.Credit.name)
	case transfer.Debit.guarded() && transfer.Debit.balance-transfer.Debit.held < fen:
		return fmt.Errorf("%w: I3: transfer of %s from %s, of which %s are available", ErrBrokenInvariant, transfer.Amount,
			transfer.Debit.name, transfer.Debit.Available())
	}
	transfer.Debit.credit(-fen)
	transfer.Credit.credit(fen)
	return nil
}

func (s *State) unpostTransfers(transfers []Transfer) {
	for i := len(transfers) - 1; i >= 0; i-- {
		transfers[i].Credit.uncredit(transfers[i].Amount.Fen())
		transfers[i].Debit.uncredit(-transfers[i].Amount.Fen())
	}
}

func (s *State) postRows(decision Decision) {
	for _, order := range decision.Orders {
		s.orders[order.ID], s.withLines[order.ID] = order, true
	}
	for _, refund := range decision.LineRefunds {
		line, _ := refund.Order.Line(refund.LineID)
		for leg, amount := range refund.PerLeg {
			line.Refunded[leg] = line.Refunded[leg].Add(amount)
		}
	}
	for _, receipt := range decision.Receipts {
		s.receipts[receipt] = true
	}
	for _, account := range decision.Opens {
		account.opened = true
	}
	if closing := decision.Closes; closing != nil {
		closing.Case.ClosedBy = closing.Kind
	}
	if decision.Sends != nil {
		decision.Sends.post()
	}
	s.learn(decision.Learns)
	for i := range decision.Enrolments {
		enrolment := decision.Enrolments[i]
		s.enrolments[enrolmentKey{enrolment.ProductID, enrolment.UserID}] = &enrolment
		s.renewPages(enrolment)
	}
}

// renewPages lets a sweep later in the batch see what the user keeps now.
func (s *State) renewPages(enrolment Enrolment) {
	for key, page := range s.pages {
		if key.productID != enrolment.ProductID {
			continue
		}
		i, found := slices.BinarySearchFunc(page, enrolment.UserID, func(e Enrolment, user string) int {
			return strings.Compare(e.UserID, user)
		})
		if found {
			page[i].Keep, page[i].ConsentVersion, page[i].OccurredAt = enrolment.Keep, enrolment.ConsentVersion, enrolment.OccurredAt
		}
	}
}
