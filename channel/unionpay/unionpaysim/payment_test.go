package unionpaysim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/unionpay/unionpaysim"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestOrdersAreAnsweredAsTheDeskSays(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.OrderedAt = paidAt.Add(-time.Minute)
	d.Unpaid = map[string]simulate.Ordered{"rc000002": {State: simulate.OrderUnpaid, Amount: money.FromFen(1)},
		"rc000003": {State: simulate.OrderClosed, Amount: money.FromFen(1)}}
	c := connect(t, simulated(), d)
	paid := channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventPaid, MerchantID: unionpaysim.MerchantID,
		OutTradeNo: d.Paid.OutTradeNo, ChannelTxnID: d.Paid.ChannelTxnID, Amount: d.Paid.Amount, OccurredAt: paidAt}
	for name, want := range map[string]struct {
		number string
		at     time.Time
		notice channel.Notice
		err    error
	}{
		"paid":            {d.Paid.OutTradeNo, d.OrderedAt, paid, nil},
		"of another time": {d.Paid.OutTradeNo, paidAt, channel.Notice{}, channel.ErrUnknownNumber},
		"waiting":         {"rc000002", noon, channel.Notice{}, channel.ErrUnpaid},
		"closed":          {"rc000003", noon, channel.Notice{}, channel.ErrUnpaid},
		"never heard of":  {"rc000004", noon, channel.Notice{}, channel.ErrUnknownNumber},
	} {
		got, err := c.QueryPayment(t.Context(), channel.PaymentOrder{OutTradeNo: want.number, OpenedAt: want.at})
		if got != want.notice || !errors.Is(err, want.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, want.notice, want.err)
		}
	}
}
