package ecnysim_test

import (
	"errors"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/ecny/ecnysim"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestOrdersAreAnsweredAsTheDeskSays(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.desk.Unpaid = map[string]simulate.Ordered{"rc2": {State: simulate.OrderUnpaid, Amount: money.FromFen(1)},
		"rc3": {State: simulate.OrderClosed, Amount: money.FromFen(1)}}
	c := s.merchant(t, nil)
	base := channel.Notice{Channel: tasks.SourceECNY, MerchantID: ecnysim.MerchantID}
	paid, closed := base, base
	paid.Event, paid.OutTradeNo, paid.ChannelTxnID = channel.EventPaid, "rc1", payment().ChannelTxnID
	paid.Amount, paid.OccurredAt = money.FromFen(100_00), noon
	closed.Event, closed.OutTradeNo = channel.EventClosed, "rc3"
	for number, want := range map[string]struct {
		notice channel.Notice
		err    error
	}{"rc1": {paid, nil}, "rc2": {channel.Notice{}, channel.ErrUnpaid}, "rc3": {closed, nil}, "rc4": {channel.Notice{}, channel.ErrUnknownNumber}} {
		got, err := c.QueryPayment(t.Context(), channel.PaymentOrder{OutTradeNo: number, OpenedAt: noon})
		if got != want.notice || !errors.Is(err, want.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", number, got, err, want.notice, want.err)
		}
	}
}
