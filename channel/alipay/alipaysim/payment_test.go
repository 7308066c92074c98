package alipaysim_test

import (
	"errors"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay/alipaysim"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestTradesAreAnsweredAsTheDeskSays(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.Unpaid = map[string]simulate.Ordered{"rc1": {State: simulate.OrderUnpaid, Amount: money.FromFen(1)},
		"rc2": {State: simulate.OrderClosed, Amount: money.FromFen(1)}}
	c := connect(t, restore(t, clock.Fixed(noon)), d)
	base := channel.Notice{Channel: tasks.SourceAlipay, MerchantID: alipaysim.SellerID, AppID: alipaysim.AppID}
	paid, closed := base, base
	paid.Event, paid.OutTradeNo, paid.ChannelTxnID = channel.EventPaid, outTradeNo, tradeNo
	paid.Amount, paid.OccurredAt = money.FromFen(100_00), paidAt
	closed.Event, closed.OutTradeNo = channel.EventClosed, "rc2"
	for number, want := range map[string]struct {
		notice channel.Notice
		err    error
	}{outTradeNo: {paid, nil}, "rc1": {channel.Notice{}, channel.ErrUnpaid}, "rc2": {closed, nil}, "rc3": {channel.Notice{}, channel.ErrUnknownNumber}} {
		got, err := c.QueryPayment(t.Context(), channel.PaymentOrder{OutTradeNo: number, OpenedAt: noon})
		if got != want.notice || !errors.Is(err, want.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", number, got, err, want.notice, want.err)
		}
	}
}
