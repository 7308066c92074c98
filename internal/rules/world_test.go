package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

const (
	books = 2
	fund  = "xiaojinku"
	date  = "2026-03-02"
)

var (
	occurredAt = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	users      = []string{"ada", "ben", "cem", "dai", "eve"}
)

// world is a ledger in memory: the rules of all rooms over the states of all books, with acceptance, parking, waking, follow-ups
// and a channel that answers refunds. It keeps its own record of what moved.
type world struct {
	states   []*ledger.State
	channel  *channel.Simulator
	due      []tasks.Payload
	parked   map[string][]tasks.Payload
	accepted map[string]bool // kind and key
	funded   map[ledger.Receipt]bool
	orders   []*ledger.Order
	moved    []map[ledger.AccountName]int64 // per book, by our own count
	held     map[ledger.AccountName]int64   // money in refunding and suspense of which a person decides
	recharge int64                          // cash that came in, here and below in fen
	toCash   int64                          // channel parts that became cash
	sent     map[string][2]int64            // by user: what they sent, and in how many transfers
	cases    map[tasks.CaseRef]*ledger.StandingCase
}

func newWorld(failedPerMille int, policy tasks.Policy) *world {
	w := &world{channel: channel.NewSimulator(channel.SimulatorConfig{FailedPerMille: failedPerMille, UnknownPerMille: 300}),
		parked: map[string][]tasks.Payload{}, accepted: map[string]bool{}, funded: map[ledger.Receipt]bool{},
		held: map[ledger.AccountName]int64{}, sent: map[string][2]int64{}, cases: map[tasks.CaseRef]*ledger.StandingCase{}}
	for book := range books {
		state := ledger.NewState(book, books, policy)
		for _, user := range users {
			for _, name := range []ledger.AccountName{ledger.UserCash(user), ledger.UserReward(user), ledger.UserWealth(user, fund)} {
				state.PutAccount(name, money.FromFen(-1))
			}
			state.PutEnrolment(fund, user, nil)
			state.PutSentDay(user, date, money.Amount{}, 0)
		}
		w.states, w.moved = append(w.states, state), append(w.moved, map[ledger.AccountName]int64{})
	}
	return w
}

// run accepts a payload and everything that follows from it.
func (w *world) run(t *rapid.T, payload tasks.Payload) {
	w.accept(t, payload)
	for len(w.due) > 0 {
		next := w.due[0]
		w.due = w.due[1:]
		w.apply(t, next)
	}
}

func (w *world) accept(t *rapid.T, payload tasks.Payload) {
	request, err := tasks.NewRequest(payload, books, occurredAt)
	if err != nil {
		t.Fatalf("accept %+v: %v", payload, err)
	}
	if id := string(request.Kind) + " " + request.Key; !w.accepted[id] {
		w.accepted[id] = true
		w.due = append(w.due, payload)
	}
}

func (w *world) apply(t *rapid.T, payload tasks.Payload) {
	if order, ok := payload.(*tasks.RefundOrder); ok {
		w.callChannel(t, *order)
	}
	request, err := tasks.NewRequest(payload, books, occurredAt)
	if err != nil {
		t.Fatal(err)
	}
	state := w.states[request.Book]
	w.read(state, payload)
	d := ruleOf(payload.Kind()).Decide(state, &ledger.Request{ID: request.ID, Kind: payload.Kind(), Payload: payload, Book: request.Book,
		OccurredAt: request.OccurredAt, BusinessDate: request.BusinessDate})
	if d.WaitsFor() != "" {
		w.parked[d.WaitsFor()] = append(w.parked[d.WaitsFor()], payload)
		return
	}
	if !d.Applied() {
		if d.Reason() == "" || d.Detail() == "" || len(d.Transfers) > 0 {
			t.Fatalf("%s is refused with %q, %q and moves %v", payload.Kind(), d.Reason(), d.Detail(), d.Transfers)
		}
		return
	}
	if err := state.Post(d); err != nil {
		t.Fatalf("%s %+v: %v", payload.Kind(), payload, err)
	}
	w.record(t, request, payload, d)
}

// callChannel does what the worker does before refund:send is applied.
func (w *world) callChannel(t *rapid.T, order tasks.RefundOrder) {
	for asked := range 2 {
		answer, err := channel.Pursue(t.Context(), w.channel, order, asked > 0)
		if result, final := channel.Result(order, answer); err == nil && final {
			w.accept(t, result)
			return
		}
	}
	t.Fatalf("the channel has not ended refund %s", order.Number)
}

// read puts into the state what the ledger would read from the database: what other books know, and pages.
func (w *world) read(state *ledger.State, payload tasks.Payload) {
	switch p := payload.(type) {
	case *tasks.Recharge:
		receipt := ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID}
		state.PutReceipt(receipt, w.funded[receipt])
	case *tasks.Suspension:
		receipt := ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID}
		state.PutReceipt(receipt, w.funded[receipt])
	case *tasks.Payment:
		for _, leg := range p.Legs {
			receipt := ledger.Receipt{Channel: leg.Source, TxnID: leg.ChannelTxnID}
			state.PutReceipt(receipt, w.funded[receipt])
		}
	case *tasks.Refund:
		i := slices.IndexFunc(w.orders, func(o *ledger.Order) bool { return o.ID == p.OrderID })
		if i >= 0 && tasks.BookOf(w.orders[i].UserID, books) == state.Book() {
			state.PutOrder(p.OrderID, w.orders[i])
		} else {
			state.PutOrder(p.OrderID, nil)
		}
	case *tasks.SweepPart:
		var page []ledger.Enrolment
		for _, user := range users {
			if e, ok := state.Enrolment(fund, user); ok && user > p.AfterUserID && len(page) < state.Policy().SweepUsersMax {
				page = append(page, *e)
			}
		}
		state.PutSweepPage(fund, p.AfterUserID, page)
	case *tasks.CaseReturn:
		ref, _ := tasks.ParseCaseID(p.CaseID)
		state.PutCase(ref, w.cases[ref])
	}
}

func (w *world) record(t *rapid.T, request tasks.Request, payload tasks.Payload, d ledger.Decision) {
	book := request.Book
	for _, transfer := range d.Transfers {
		w.moved[book][transfer.Debit.Name()] -= transfer.Amount.Fen()
		w.moved[book][transfer.Credit.Name()] += transfer.Amount.Fen()
		from, to := transfer.Debit.Name().Kind(), transfer.Credit.Name().Kind()
		if from == ledger.ChannelClearingKind && to == ledger.UserCashKind {
			w.recharge += transfer.Amount.Fen()
		}
		if from == ledger.UserRewardKind && to != ledger.MerchantPayableKind {
			t.Fatalf("reward moves to %s", transfer.Credit.Name())
		}
	}
	if refund, ok := payload.(*tasks.Refund); ok && refund.To == tasks.ToBalance {
		for _, part := range d.LegRefunds {
			if source := part.Order.Legs[part.Leg].Source; !source.IsBalance() {
				w.toCash += part.Amount.Fen()
			}
		}
	}
	if p, ok := payload.(*tasks.Transfer); ok {
		sent := [2]int64{w.sent[p.FromUserID][0] + p.Amount.Fen(), w.sent[p.FromUserID][1] + 1}
		w.sent[p.FromUserID] = sent
		policy, day := w.states[book].Policy(), w.states[book].SentDay(p.FromUserID, date)
		if sent[0] > policy.TransferredPerDayMax.Fen() || sent[1] > int64(policy.TransfersPerDayMax) || day.Amount.Fen() != sent[0] {
			t.Fatalf("I12: %s has sent %d fen in %d transfers, counted are %s", p.FromUserID, sent[0], sent[1], day.Amount)
		}
	}
	for i, opened := range d.Cases {
		w.held[opened.Account] += opened.Amount.Fen()
		ref := tasks.CaseRef{Book: book, Request: request.ID, Ordinal: i}
		w.cases[ref] = &ledger.StandingCase{Ref: ref, Kind: opened.Kind, Account: opened.Account, Amount: opened.Amount}
		if p, ok := payload.(*tasks.Suspension); ok {
			w.cases[ref].Payment = ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID}
		}
	}
	if d.Closes != nil {
		w.held[d.Closes.Case.Account] -= d.Closes.Case.Amount.Fen()
	}
	for _, receipt := range d.Receipts {
		if w.funded[receipt] {
			t.Fatalf("W1: %v funds a second request", receipt)
		}
		w.funded[receipt] = true
	}
	w.orders = append(w.orders, d.Orders...)
	for _, payload := range d.FollowUps {
		w.accept(t, payload)
	}
	for _, waited := range d.Wakes {
		w.due = append(w.due, w.parked[waited]...)
		delete(w.parked, waited)
	}
}

// total adds up what accounts hold over all books.
func (w *world) total(belongs func(ledger.AccountName) bool) int64 {
	var sum int64
	for _, book := range w.moved {
		for name, fen := range book {
			if belongs(name) {
				sum += fen
			}
		}
	}
	return sum
}

func (w *world) totalOf(kinds ...ledger.AccountKind) int64 {
	return w.total(func(name ledger.AccountName) bool { return slices.Contains(kinds, name.Kind()) })
}

// check compares the books with each other. Nothing is due any more.
func (w *world) check(t *rapid.T) {
	net := map[bool]int64{} // what legs of reward, and of cash, hold
	var payable int64
	for _, o := range w.orders {
		for i, leg := range o.Legs {
			if leg.Refunded.IsNegative() || leg.Remaining().IsNegative() {
				t.Fatalf("I6: leg %d of %s captured %s, refunded %s", i, o.ID, leg.Captured, leg.Refunded)
			}
			payable += leg.Remaining().Fen()
			if leg.Source.IsBalance() {
				net[leg.Source == tasks.SourceReward] += leg.Remaining().Fen()
			}
		}
	}
	for book, moved := range w.moved {
		var sum int64
		for name, fen := range moved {
			sum += fen
			if name.Kind().Guarded() && (fen < 0 || w.states[book].Account(name).Balance().Fen() != fen) {
				t.Fatalf("%s of book %d: moved %d fen, holds %s", name, book, fen, w.states[book].Account(name).Balance())
			}
		}
		if sum != 0 {
			t.Fatalf("I1: book %d adds up to %d fen", book, sum)
		}
	}
	for what, sums := range map[string][2]int64{
		"merchants are owed what orders hold":          {w.totalOf(ledger.MerchantPayableKind), payable},
		"what one book owes the other has arrived":     {w.moved[0][ledger.Interbook(1)], -w.moved[1][ledger.Interbook(0)]},
		"rewards given are with users and in orders":   {-w.totalOf(ledger.PromotionKind), w.totalOf(ledger.UserRewardKind) + net[true]},
		"cash that came in is with users or in orders": {w.recharge + w.toCash, w.totalOf(ledger.UserCashKind, ledger.UserWealthKind) + net[false]},
	} {
		if sums[0] != sums[1] {
			t.Fatalf("%s: %d and %d fen", what, sums[0], sums[1])
		}
	}
	for _, source := range tasks.Channels() {
		for _, name := range []ledger.AccountName{ledger.ChannelRefunding(source), ledger.Suspense(source)} {
			if got := w.total(func(n ledger.AccountName) bool { return n == name }); got != w.held[name] {
				t.Fatalf("%s holds %d fen, cases explain %d", name, got, w.held[name])
			}
		}
	}
	for waited := range w.parked {
		if slices.ContainsFunc(w.orders, func(o *ledger.Order) bool { return strings.HasSuffix(waited, "/"+o.ID) && w.sameBook(waited, o) }) {
			t.Fatalf("%s has happened, and refunds still wait for it", waited)
		}
	}
}

// sameBook leaves out refunds by users of another book: an order of their own by that id they can wait for in vain.
func (w *world) sameBook(waited string, o *ledger.Order) bool {
	return slices.ContainsFunc(w.parked[waited], func(payload tasks.Payload) bool {
		return tasks.BookOf(payload.(*tasks.Refund).UserID, books) == tasks.BookOf(o.UserID, books)
	})
}

func TestAnySequenceOfRequestsKeepsTheBooks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		policy := tasks.DefaultPolicy()
		policy.SweepUsersMax = rapid.IntRange(1, 3).Draw(t, "users per page")
		policy.TransferredPerDayMax = money.FromFen(rapid.Int64Range(1, 20_000).Draw(t, "sent a day"))
		policy.TransfersPerDayMax = rapid.IntRange(1, 5).Draw(t, "transfers a day")
		policy.RefundSplit = rapid.SampledFrom([]tasks.RefundSplit{tasks.Proportional, tasks.ExternalFirst, tasks.BalanceFirst}).Draw(t, "split")
		w := newWorld(rapid.SampledFrom([]int{0, 500, 1000}).Draw(t, "refunds that fail per mille"), policy)
		for i := range rapid.IntRange(1, 40).Draw(t, "requests") {
			w.run(t, drawRequest(t, i))
			w.check(t)
		}
	})
}

// drawRequest draws a request. Ids come from small sets, so that refunds come before their payments, payments repeat, and channel
// payments are used twice.
func drawRequest(t *rapid.T, i int) tasks.Payload {
	user, other := rapid.SampledFrom(users).Draw(t, "user"), rapid.SampledFrom(users).Draw(t, "other")
	amount := money.FromFen(rapid.Int64Range(1, 10_000).Draw(t, "fen"))
	id, txn := fmt.Sprintf("id%d", i), fmt.Sprintf("t%d", rapid.IntRange(0, 30).Draw(t, "txn"))
	order := fmt.Sprintf("o%d", rapid.IntRange(0, 5).Draw(t, "order"))
	switch rapid.IntRange(0, 10).Draw(t, "kind") {
	case 10:
		return &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: txn, OutTradeNo: id, Amount: amount, OccurredAt: occurredAt,
			Cause: rapid.SampledFrom(tasks.SuspensionCauses()).Draw(t, "cause")}
	case 0, 1:
		return &tasks.Recharge{RechargeID: id, UserID: user, Channel: tasks.SourceWeChat, ChannelTxnID: txn, Amount: amount, OccurredAt: occurredAt}
	case 2:
		return &tasks.Reward{RewardID: id, UserID: user, CampaignID: "spring", Amount: amount, OccurredAt: occurredAt}
	case 3:
		if user == other {
			return &tasks.Sweep{ProductID: fund, BusinessDate: date}
		}
		return &tasks.Transfer{TransferID: id, FromUserID: user, ToUserID: other, Amount: amount, OccurredAt: occurredAt}
	case 4:
		return &tasks.Enrolment{EnrolmentID: id, UserID: user, ProductID: fund, KeepAmount: amount, ConsentVersion: "1", OccurredAt: occurredAt}
	case 5, 6:
		return drawPayment(t, order, user, txn)
	default:
		p := &tasks.Refund{RefundID: id, OrderID: order, UserID: user, Amount: amount, OccurredAt: occurredAt,
			To: rapid.SampledFrom([]tasks.RefundTarget{"", tasks.ToBalance}).Draw(t, "to")}
		if rapid.Bool().Draw(t, "by line") {
			p.Lines = []tasks.LineRefund{{LineID: rapid.SampledFrom([]string{"l0", "l1", "l2"}).Draw(t, "line"), Amount: amount}}
		}
		return p
	}
}

func drawPayment(t *rapid.T, order, user, txn string) *tasks.Payment {
	p := &tasks.Payment{OrderID: order, UserID: user, MerchantID: "shop", OccurredAt: occurredAt}
	sources := []tasks.Source{tasks.SourceReward, tasks.SourceCash, tasks.SourceWeChat, tasks.SourceAlipay}
	for _, source := range rapid.SliceOfNDistinct(rapid.SampledFrom(sources), 1, 3, rapid.ID).Draw(t, "legs") {
		leg := tasks.Leg{Source: source, Amount: money.FromFen(rapid.Int64Range(1, 4_000).Draw(t, "leg"))}
		if !source.IsBalance() {
			leg.ChannelTxnID = txn
		}
		p.Legs = append(p.Legs, leg)
	}
	if rapid.Bool().Draw(t, "with lines") {
		weights := make([]money.Amount, 3)
		for i := range weights {
			weights[i] = money.FromFen(rapid.Int64Range(1, 9).Draw(t, "weight"))
		}
		coupon := money.FromFen(rapid.Int64Range(0, 500).Draw(t, "coupon"))
		kinds := []tasks.LineKind{tasks.Goods, tasks.Shipping, rapid.SampledFrom([]tasks.LineKind{tasks.Goods, tasks.Virtual}).Draw(t, "kind")}
		for i, price := range money.Split(p.Total().Add(coupon), weights) {
			if price.IsPositive() {
				p.Lines = append(p.Lines, tasks.Line{LineID: fmt.Sprintf("l%d", i), Kind: kinds[i], Amount: price})
			}
		}
		if coupon.IsPositive() {
			p.Lines = append(p.Lines, tasks.Line{LineID: "c", Kind: tasks.Coupon, Amount: coupon})
		}
	}
	return p
}
