package proof_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// model is what a wallet is, in the fewest words: balances by name, and a rule of a few lines for each kind. It knows nothing of the
// code that it judges but the payloads, and is written to be read rather than to be fast. Amounts are fen.
type model struct {
	split    tasks.RefundSplit
	balances map[string]int64  // over all books
	opened   map[string]bool   // users' accounts
	payers   map[string]string // by order; whoever was first to ask to pay it, decided or not
	refused  map[string]bool   // orders whose payment is rejected
	orders   map[string]*modelOrder
	waiting  map[string][]tasks.Payload // refunds, by their order
	failed   map[string]bool            // refund numbers that a channel could not pay
	used     map[string]bool            // payments of channels
	keeps    map[string]modelKeep       // by user
	swept    map[string]bool            // user and date
	sent     map[string]modelSent       // by user and date
	limit    modelSent                  // of a date
}

type modelOrder struct {
	user, merchant string
	sources        []tasks.Source
	left           []int64
}

type modelKeep struct{ fen, since int64 }

type modelSent struct{ fen, transfers int64 }

// modelOutcome is applied, parked, or the reason for a rejection.
type modelOutcome string

const (
	modelApplied modelOutcome = "applied"
	modelParked  modelOutcome = "parked"
)

func newModel(split tasks.RefundSplit, limit modelSent) *model {
	return &model{split: split, limit: limit, sent: map[string]modelSent{}, balances: map[string]int64{}, opened: map[string]bool{}, payers: map[string]string{}, refused: map[string]bool{},
		orders: map[string]*modelOrder{}, waiting: map[string][]tasks.Payload{}, used: map[string]bool{}, failed: map[string]bool{},
		keeps: map[string]modelKeep{}, swept: map[string]bool{}}
}

func cashOf(user string) string   { return "user/" + user + "/cash" }
func rewardOf(user string) string { return "user/" + user + "/reward" }

func (m *model) move(from, to string, fen int64) {
	m.balances[from] -= fen
	m.balances[to] += fen
	m.opened[to] = true
}

// apply decides one request. due are the requests that it makes due.
func (m *model) apply(payload tasks.Payload) (outcome modelOutcome, due []tasks.Payload) {
	switch p := payload.(type) {
	case *tasks.Recharge:
		return m.recharge(p), nil
	case *tasks.Suspension:
		return m.suspend(p), nil
	case *tasks.Reward:
		m.move("promotion/"+p.CampaignID, rewardOf(p.UserID), p.Amount.Fen())
		return modelApplied, nil
	case *tasks.Payment:
		outcome = m.pay(p)
		m.refused[p.OrderID] = outcome != modelApplied
		due = slices.DeleteFunc(slices.Clone(m.waiting[p.OrderID]), func(w tasks.Payload) bool { // it is heard of in its own book only
			return tasks.BookOf(w.(*tasks.Refund).UserID, 4) != tasks.BookOf(p.UserID, 4)
		})
		return outcome, due
	case *tasks.Refund:
		return m.refund(p)
	case *tasks.Transfer:
		return m.transfer(p)
	case *tasks.TransferArrival:
		m.move("on its way", cashOf(p.ToUserID), p.Amount.Fen())
		return modelApplied, nil
	case *tasks.Enrolment:
		m.opened[cashOf(p.UserID)] = true
		if was, enrolled := m.keeps[p.UserID]; !enrolled || was.since <= p.OccurredAt.UnixMicro() {
			m.keeps[p.UserID] = modelKeep{p.KeepAmount.Fen(), p.OccurredAt.UnixMicro()}
		}
		return modelApplied, nil
	case *tasks.Sweep:
		for book := range 4 {
			due = append(due, &tasks.SweepPart{ProductID: p.ProductID, BusinessDate: p.BusinessDate, Book: book})
		}
		return modelApplied, due
	case *tasks.SweepPart:
		m.sweep(p)
		return modelApplied, nil
	case *tasks.RefundOrder: // the channel is asked elsewhere
		return modelApplied, nil
	case *tasks.RefundResult:
		if p.Result == tasks.RefundSucceeded {
			m.move("channel/"+string(p.Channel)+"/refunding", "channel/"+string(p.Channel)+"/clearing", p.Amount.Fen())
		} else {
			m.failed[p.Number] = true
		}
		return modelApplied, nil
	case *tasks.RefundRevision:
		if !m.failed[p.Number] {
			return modelOutcome(tasks.AnswerMatchesNoRefund), nil
		}
		m.move("channel/"+string(p.Channel)+"/refunding", "channel/"+string(p.Channel)+"/clearing", p.Amount.Fen())
		return modelApplied, nil
	}
	panic(fmt.Sprintf("the model does not know %T", payload))
}

func (m *model) recharge(p *tasks.Recharge) modelOutcome {
	txn := string(p.Channel) + p.ChannelTxnID
	if m.used[txn] {
		return modelOutcome(tasks.ChannelPaymentUsed)
	}
	m.used[txn] = true
	m.move("channel/"+string(p.Channel)+"/clearing", cashOf(p.UserID), p.Amount.Fen())
	return modelApplied
}

func (m *model) suspend(p *tasks.Suspension) modelOutcome {
	txn := string(p.Channel) + p.ChannelTxnID
	if m.used[txn] {
		return modelOutcome(tasks.ChannelPaymentUsed)
	}
	m.used[txn] = true
	m.move("channel/"+string(p.Channel)+"/clearing", "suspense/"+string(p.Channel), p.Amount.Fen())
	return modelApplied
}

func (m *model) bucket(user string, source tasks.Source) string {
	switch source {
	case tasks.SourceCash:
		return cashOf(user)
	case tasks.SourceReward:
		return rewardOf(user)
	}
	return "channel/" + string(source) + "/clearing"
}

func (m *model) pay(p *tasks.Payment) modelOutcome {
	for _, leg := range p.Legs {
		if p.BalanceExclusive && !leg.Source.IsBalance() {
			return modelOutcome(tasks.BalanceOnly)
		}
	}
	for _, leg := range p.Legs {
		switch {
		case !leg.Source.IsBalance() && leg.ChannelTxnID != "" && m.used[string(leg.Source)+leg.ChannelTxnID]:
			return modelOutcome(tasks.ChannelPaymentUsed)
		case !leg.Source.IsBalance():
		case !m.opened[cashOf(p.UserID)] && !m.opened[rewardOf(p.UserID)]:
			return modelOutcome(tasks.NoAccount)
		case m.balances[m.bucket(p.UserID, leg.Source)] < leg.Amount.Fen():
			return modelOutcome(tasks.InsufficientFunds)
		}
	}
	order := &modelOrder{user: p.UserID, merchant: "merchant/" + p.MerchantID + "/payable"}
	for _, leg := range p.Legs {
		if leg.ChannelTxnID != "" {
			m.used[string(leg.Source)+leg.ChannelTxnID] = true
		}
		m.move(m.bucket(p.UserID, leg.Source), order.merchant, leg.Amount.Fen())
		order.sources, order.left = append(order.sources, leg.Source), append(order.left, leg.Amount.Fen())
	}
	m.orders[p.OrderID] = order
	return modelApplied
}

func (m *model) refund(p *tasks.Refund) (modelOutcome, []tasks.Payload) {
	order, payer := m.orders[p.OrderID], m.payers[p.OrderID]
	if payer != "" && tasks.BookOf(payer, 4) != tasks.BookOf(p.UserID, 4) {
		return modelOutcome(tasks.OrderOfAnotherUser), nil
	}
	if m.refused[p.OrderID] {
		return modelOutcome(tasks.PaymentRejected), nil
	}
	if order == nil {
		if !slices.Contains(m.waiting[p.OrderID], tasks.Payload(p)) {
			m.waiting[p.OrderID] = append(m.waiting[p.OrderID], p)
		}
		return modelParked, nil
	}
	if order.user != p.UserID {
		return modelOutcome(tasks.OrderOfAnotherUser), nil
	}
	var left int64
	for _, fen := range order.left {
		left += fen
	}
	if p.Amount.Fen() > left {
		return modelOutcome(tasks.ExceedsRefundable), nil
	}
	var due []tasks.Payload
	for leg, fen := range m.parts(order, p.Amount.Fen()) {
		if fen == 0 {
			continue
		}
		order.left[leg] -= fen
		source := order.sources[leg]
		switch {
		case source == tasks.SourceReward:
			m.move(order.merchant, rewardOf(p.UserID), fen)
		case source == tasks.SourceCash || p.To == tasks.ToBalance:
			m.move(order.merchant, cashOf(p.UserID), fen)
		default:
			m.move(order.merchant, "channel/"+string(source)+"/refunding", fen)
			due = append(due, &tasks.RefundOrder{RefundID: p.RefundID, Leg: leg})
		}
	}
	return modelApplied, due
}

// parts splits a refund over what is left on the legs, group by group of the policy.
func (m *model) parts(order *modelOrder, fen int64) []int64 {
	groups := [][]bool{{true, false}} // all legs together
	switch m.split {
	case tasks.ExternalFirst:
		groups = [][]bool{{false}, {true}}
	case tasks.BalanceFirst:
		groups = [][]bool{{true}, {false}}
	}
	parts := make([]int64, len(order.left))
	for _, group := range groups {
		var weight int64
		weights := make([]int64, len(order.left))
		for leg, left := range order.left {
			if slices.Contains(group, order.sources[leg].IsBalance()) {
				weights[leg] = left
				weight += left
			}
		}
		take := min(fen, weight)
		fen -= take
		for leg, part := range largestRemainder(take, weights, weight) {
			parts[leg] += part
		}
	}
	return parts
}

// largestRemainder gives each weight its share rounded down, and what is left over, fen by fen, to the largest remainders, ties by order.
func largestRemainder(total int64, weights []int64, weight int64) []int64 {
	parts, order := make([]int64, len(weights)), make([]int, len(weights))
	if weight == 0 {
		return parts
	}
	left := total
	for i, w := range weights {
		parts[i], order[i] = total*w/weight, i
		left -= parts[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(total*weights[b]%weight - total*weights[a]%weight) })
	for _, i := range order[:left] {
		parts[i]++
	}
	return parts
}

func (m *model) transfer(p *tasks.Transfer) (modelOutcome, []tasks.Payload) {
	from, to := cashOf(p.FromUserID), cashOf(p.ToUserID)
	switch {
	case !m.opened[from]:
		return modelOutcome(tasks.NoAccount), nil
	case m.balances[from] < p.Amount.Fen():
		return modelOutcome(tasks.InsufficientFunds), nil
	}
	day := p.FromUserID + p.OccurredAt.In(clock.Shanghai).Format(time.DateOnly)
	sent := modelSent{m.sent[day].fen + p.Amount.Fen(), m.sent[day].transfers + 1}
	if sent.fen > m.limit.fen || sent.transfers > m.limit.transfers {
		return modelOutcome(tasks.TransferLimit), nil
	}
	m.sent[day] = sent
	if tasks.BookOf(p.FromUserID, 4) == tasks.BookOf(p.ToUserID, 4) {
		m.move(from, to, p.Amount.Fen())
		return modelApplied, nil
	}
	m.move(from, "on its way", p.Amount.Fen())
	return modelApplied, []tasks.Payload{&tasks.TransferArrival{TransferID: p.TransferID, ToUserID: p.ToUserID, Amount: p.Amount}}
}

func (m *model) sweep(p *tasks.SweepPart) {
	for user, keep := range m.keeps {
		surplus := m.balances[cashOf(user)] - keep.fen
		if tasks.BookOf(user, 4) == p.Book && surplus > 0 && !m.swept[user+p.BusinessDate] {
			m.swept[user+p.BusinessDate] = true
			m.move(cashOf(user), "user/"+user+"/wealth/"+p.ProductID, surplus)
		}
	}
}
