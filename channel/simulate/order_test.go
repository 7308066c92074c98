package simulate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/tasks"
)

// standing expects a desk to tell this of an order; nil: that it has never seen it.
func (s *street) standing(t *testing.T, number string, want *simulate.Ordered) {
	t.Helper()
	got, known := s.desk.Ordered(number)
	if known != (want != nil) {
		t.Errorf("%s: known %v, %+v", number, known, got)
	} else if want != nil {
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", number, diff)
		}
	}
}

func TestOrderWaitsUntilItIsPaidOrClosed(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	waits := simulate.Ordered{State: simulate.OrderUnpaid, Amount: yuan(t, "100.00"), OrderedAt: noon.Add(-time.Hour)}
	s.standing(t, "rc1", nil)
	for _, number := range []string{"rc1", "rc2", "rc1"} { // the same again changes nothing
		order := simulate.Order{Channel: tasks.SourceWeChat, OutTradeNo: number, Amount: waits.Amount, OrderedAt: waits.OrderedAt}
		if err := s.Order(order); err != nil {
			t.Fatal(err)
		}
		s.standing(t, number, &waits)
	}
	paid, closed := waits, waits
	receipt := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: waits.Amount, NotifyURL: simulate.NoNotice})
	paid.State = simulate.OrderPaid
	paid.Payment = simulate.Payment{OutTradeNo: "rc1", ChannelTxnID: receipt.ChannelTxnID, Amount: waits.Amount, PaidAt: noon}
	s.standing(t, "rc1", &paid)
	for range 2 {
		if err := s.CloseOrder(tasks.SourceWeChat, "rc2"); err != nil {
			t.Fatal(err)
		}
	}
	closed.State = simulate.OrderClosed
	s.standing(t, "rc2", &closed)
	s.desk = openStreet(t, s.merchant, s.clock, s.crashed(t), nil).desk // S1
	s.standing(t, "rc1", &paid)
	s.standing(t, "rc2", &closed)
	s.standing(t, "rc3", nil)
}

func TestOrderThatWasPaidWithoutBeingOpenedIsKnown(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults = simulate.Faults{WrongAmounts: 1000} })
	receipt := s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00"), OrderedAt: noon.Add(-time.Minute), NotifyURL: simulate.NoNotice})
	want := simulate.Ordered{State: simulate.OrderPaid, Amount: yuan(t, "100.00"), OrderedAt: noon.Add(-time.Minute),
		Payment: simulate.Payment{OutTradeNo: "rc1", ChannelTxnID: receipt.ChannelTxnID, Amount: receipt.Amount, PaidAt: noon}}
	s.standing(t, "rc1", &want)
	if _, _, err := s.desk.Refund("rf1", "", "rc1", yuan(t, "30.00")); err != nil {
		t.Fatal(err)
	}
	want.Refunded = yuan(t, "30.00")
	s.standing(t, "rc1", &want)
	s.desk = openStreet(t, s.merchant, s.clock, s.crashed(t), nil).desk
	s.standing(t, "rc1", &want)
}

// A refund that is processing, or has failed, has left the payment whole.
func TestRefundsCountOnceTheyAreMade(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults, c.RefundTime = simulate.Faults{SlowRefunds: 1000}, time.Hour })
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "100.00"), NotifyURL: simulate.NoNotice})
	refund := func(number string) {
		t.Helper()
		if _, _, err := s.desk.Refund(number, "", "rc1", yuan(t, "10.00")); err != nil {
			t.Fatal(err)
		}
	}
	refund("rf1")
	if err := s.SetFaults(simulate.Faults{FailedRefunds: 1000}); err != nil {
		t.Fatal(err)
	}
	refund("rf2")
	if found, _ := s.desk.Ordered("rc1"); found.Refunded.IsPositive() {
		t.Errorf("%s are refunded", found.Refunded)
	}
	s.clock.Advance(time.Hour)
	if told, _ := s.desk.Refunded("rf1"); told.State != channel.RefundSucceeded {
		t.Fatalf("%+v", told)
	}
	if found, _ := s.desk.Ordered("rc1"); found.Refunded != yuan(t, "10.00") {
		t.Errorf("%s are refunded", found.Refunded)
	}
}

func TestOrdersThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	order := simulate.Order{Channel: tasks.SourceWeChat, OutTradeNo: "rc1", Amount: yuan(t, "1.00")}
	other, later, nobodys := order, order, order
	other.Amount, later.OrderedAt, nobodys.Channel = yuan(t, "2.00"), noon, tasks.SourceAlipay
	if err := s.CloseOrder(tasks.SourceWeChat, "rc1"); !errors.Is(err, simulate.ErrNotOrdered) {
		t.Errorf("closed before it was opened: %v", err)
	}
	if err := s.Order(order); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]simulate.Order{"of another amount": other, "of another time": later} {
		if err := s.Order(other); !errors.Is(err, simulate.ErrOrdered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var bad *tasks.FieldError
	if err := s.Order(nobodys); !errors.As(err, &bad) || bad.Field != "channel" {
		t.Errorf("of no channel: %v", err)
	}
	if err := s.CloseOrder(tasks.SourceAlipay, "rc1"); !errors.As(err, &bad) || bad.Field != "channel" {
		t.Errorf("closed at no channel: %v", err)
	}
	if err := s.CloseOrder(tasks.SourceWeChat, "rc1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pay(order); !errors.Is(err, simulate.ErrClosed) {
		t.Errorf("a closed order is paid: %v", err)
	}
	s.pay(t, simulate.Order{OutTradeNo: "rc2", Amount: order.Amount, NotifyURL: simulate.NoNotice})
	if err := s.CloseOrder(tasks.SourceWeChat, "rc2"); !errors.Is(err, simulate.ErrPaid) {
		t.Errorf("a paid order is closed: %v", err)
	}
	order.OutTradeNo = "rc2"
	if err := s.Order(order); !errors.Is(err, simulate.ErrOrdered) {
		t.Errorf("a paid order is opened: %v", err)
	}
}
