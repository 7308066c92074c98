package wechatsim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

func TestOrdersAreAnsweredAsTheDeskSays(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	paid := notices()["paid"]
	paid.ID = "" // of the message
	closed := paid
	closed.OccurredAt = time.Time{}
	closed.Event, closed.OutTradeNo, closed.ChannelTxnID, closed.Amount = channel.EventClosed, "o3", "", money.Amount{}
	g.desk.orders = map[string]simulate.Ordered{
		"o1": {State: simulate.OrderPaid, Amount: paid.Amount, Payment: simulate.Payment{OutTradeNo: "o1", ChannelTxnID: "4200001", Amount: paid.Amount,
			PaidAt: noon}},
		"o2": {State: simulate.OrderUnpaid, Amount: paid.Amount}, "o3": {State: simulate.OrderClosed, Amount: paid.Amount}}
	for number, want := range map[string]struct {
		notice channel.Notice
		err    error
	}{"o1": {paid, nil}, "o2": {channel.Notice{}, channel.ErrUnpaid}, "o3": {closed, nil}, "o4": {channel.Notice{}, channel.ErrUnknownNumber}} {
		got, err := g.port.QueryPayment(t.Context(), channel.PaymentOrder{OutTradeNo: number, OpenedAt: noon})
		if got != want.notice || !errors.Is(err, want.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", number, got, err, want.notice, want.err)
		}
	}
}
