package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// shop is what a drill's producer has asked and was told: what the books must hold, whatever happened meanwhile.
type shop struct {
	mu       sync.Mutex
	accepted map[asked]bool
	captures map[string]capture // by order
}

// asked names a request.
type asked struct {
	kind tasks.Kind
	key  string
}

// capture is the channel's part of an order that was accepted.
type capture struct {
	channel tasks.Source
	amount  money.Amount
}

// shopper recharges, buys and asks for refunds, one visit after another.
type shopper struct {
	run                *Channels
	name               string
	random             *rand.Rand
	api, channels      *door
	shop               *shop
	visits, orderCount int
}

// Of a hundred visits, so many do what should not be done.
const (
	payAgainPercent     = 4 // an order is paid a second time
	closedPercent       = 3 // an order is closed before it is paid
	unknownOrderPercent = 2 // a number is paid that nobody gave
)

// nobodys begins the numbers that nobody gave.
const nobodys = "nobody"

// visit is one user's recharge and, every other time, an order with refunds. It returns an error when something is refused that must
// not be, or when ctx ends.
func (s *shopper) visit(ctx context.Context) error {
	s.visits++
	user := fmt.Sprintf("drill-%s-u%d", s.run.Name, s.random.IntN(usersMax))
	if err := s.recharge(ctx, user); err != nil {
		return err
	}
	if s.random.IntN(2) == 0 {
		return nil
	}
	return s.order(ctx, user)
}

func (s *shopper) source() tasks.Source {
	all := tasks.Channels()
	return all[s.random.IntN(len(all))]
}

func (s *shopper) amount(yuanMax int) money.Amount {
	return money.FromFen(1 + s.random.Int64N(int64(yuanMax)*100))
}

func (s *shopper) recharge(ctx context.Context, user string) error {
	asked := tasks.RechargeOrder{RechargeID: fmt.Sprintf("drill-%s-%s-r%d", s.run.Name, s.name, s.visits), UserID: user, Channel: s.source(),
		Amount: s.amount(200)}
	var order struct {
		OutTradeNo string `json:"out_trade_no"`
	}
	if err := s.api.until(ctx, http.MethodPost, "/v1/recharge-orders", asked, &order); err != nil {
		return fmt.Errorf("open recharge order %s: %w", asked.RechargeID, err)
	}
	closed := s.percent(closedPercent)
	if closed {
		if err := s.api.until(ctx, http.MethodPost, "/v1/recharge-orders/"+url.PathEscape(asked.RechargeID)+"/close", nil, nil); err != nil {
			return fmt.Errorf("close recharge order %s: %w", asked.RechargeID, err)
		}
	}
	payment := simulate.Order{Channel: asked.Channel, OutTradeNo: order.OutTradeNo, Amount: asked.Amount}
	if s.percent(unknownOrderPercent) {
		payment.OutTradeNo = fmt.Sprintf(nobodys+"%s%sv%d", s.run.Name, s.name, s.visits)
	}
	// Of an order that was closed, or is not ours, nobody would ask.
	payment.Lost = !closed && payment.OutTradeNo == order.OutTradeNo && s.run.LostPercent > 0 && s.percent(s.run.LostPercent)
	if _, err := s.pay(ctx, payment); err != nil {
		return err
	}
	if payment.Lost || !s.percent(payAgainPercent) {
		return nil
	}
	payment.Again = true
	_, err := s.pay(ctx, payment)
	return err
}

func (s *shopper) percent(n int) bool { return s.random.IntN(100) < n }

func (s *shopper) pay(ctx context.Context, order simulate.Order) (simulate.Receipt, error) {
	var receipt simulate.Receipt
	if err := s.channels.until(ctx, http.MethodPost, "/pay", order, &receipt); err != nil {
		return receipt, fmt.Errorf("pay %s through %s: %w", order.OutTradeNo, order.Channel, err)
	}
	return receipt, nil
}

// order pays an order through a channel and, if there is enough, by balance, and asks for some refunds of it.
func (s *shopper) order(ctx context.Context, user string) error {
	s.orderCount++
	id := fmt.Sprintf("drill%s%so%d", s.run.Name, s.name, s.orderCount)
	paid, err := s.pay(ctx, simulate.Order{Channel: s.source(), OutTradeNo: id, Amount: s.amount(100), NotifyURL: simulate.NoNotice})
	if err != nil {
		return err
	}
	payment := &tasks.Payment{OrderID: id, UserID: user, MerchantID: "drill", OccurredAt: paid.PaidAt,
		Legs: []tasks.Leg{{Source: paid.Channel, Amount: paid.Amount, ChannelTxnID: paid.ChannelTxnID}}}
	if s.random.IntN(2) == 0 {
		payment.Legs = append(payment.Legs, tasks.Leg{Source: tasks.SourceCash, Amount: s.amount(20)})
	}
	if err := s.accept(ctx, payment, payment.OrderID); err != nil {
		return err
	}
	s.shop.mu.Lock()
	s.shop.captures[id] = capture{paid.Channel, paid.Amount}
	s.shop.mu.Unlock()
	for i := range 1 + s.random.IntN(3) {
		refund := &tasks.Refund{RefundID: fmt.Sprintf("%s-%d", id, i), OrderID: id, UserID: user, Amount: s.amount(60), OccurredAt: paid.PaidAt}
		if err := s.accept(ctx, refund, refund.RefundID); err != nil {
			return err
		}
	}
	return nil
}

// accept has a request accepted.
func (s *shopper) accept(ctx context.Context, payload tasks.Payload, key string) error {
	if err := s.api.until(ctx, http.MethodPost, "/v1/requests/"+string(payload.Kind()), payload, nil); err != nil {
		return fmt.Errorf("ask for %s %s: %w", payload.Kind(), key, err)
	}
	s.shop.mu.Lock()
	defer s.shop.mu.Unlock()
	s.shop.accepted[asked{payload.Kind(), key}] = true
	return nil
}

// shopping visits until closing is done, and finishes the visit that it has begun.
func (s *shopper) shopping(ctx context.Context, closing <-chan struct{}) error {
	for {
		select {
		case <-closing:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if err := s.visit(ctx); err != nil {
			return err
		}
		select {
		case <-s.run.Clock.After(s.run.Pause):
		case <-closing:
		case <-ctx.Done():
		}
	}
}
