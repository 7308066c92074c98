package dialects_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func asked(number string) channel.PaymentOrder {
	return channel.PaymentOrder{OutTradeNo: number, OpenedAt: clock.System.Now()}
}

// What a query tells of a payment and what its notice tells are one request: the payment is credited once, whichever comes first.
func TestPaymentIsToldAlikeByItsNoticeAndByAQuery(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		paid := w.pay(t, "rc000001", "100.01")
		w.entry(t, "rc000001", simulate.NoticeAcknowledged)
		notices, _ := w.merchant.news()
		want := notices[0]
		want.ID = "" // of the message
		check := func(when string) {
			t.Helper()
			got, err := w.merchant.port.QueryPayment(t.Context(), asked("rc000001"))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-told +queried):\n%s", when, err, diff)
			}
		}
		check("paid")
		for _, refund := range []tasks.RefundOrder{refundOf(paid, "rf000001", "40.00"), refundOf(paid, "rf000002", "60.01")} {
			if _, err := channel.Pursue(t.Context(), w.merchant.port, refund, false); err != nil {
				t.Fatal(err)
			}
			want.Refunded = w.source == tasks.SourceWeChat || w.source == tasks.SourceECNY || w.source == tasks.SourceAlipay && refund.Number == "rf000002"
			check("after " + refund.Amount.String() + " of it were refunded")
		}
	})
}

func TestPaymentThatNobodyWasToldOfIsFound(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		receipt, err := w.Pay(simulate.Order{Channel: w.source, OutTradeNo: "rc000001", Amount: money.FromFen(100), NotifyURL: simulate.NoNotice})
		if err != nil {
			t.Fatal(err)
		}
		notice, err := w.merchant.port.QueryPayment(t.Context(), asked("rc000001"))
		if err != nil || notice.Event != channel.EventPaid || notice.ChannelTxnID != receipt.ChannelTxnID || notice.Amount != receipt.Amount ||
			!notice.OccurredAt.Equal(receipt.PaidAt) {
			t.Errorf("%+v, %v, of %+v", notice, err, receipt)
		}
		if notices, _ := w.merchant.news(); len(notices) > 0 {
			t.Errorf("told of %+v", notices)
		}
	})
}

func TestOrderThatIsNotPaidIsNoPayment(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		query := func() (channel.Notice, error) { return w.merchant.port.QueryPayment(t.Context(), asked("rc000001")) }
		if notice, err := query(); !errors.Is(err, channel.ErrUnknownNumber) || notice != (channel.Notice{}) {
			t.Errorf("nobody's order: %+v, %v", notice, err)
		}
		order := simulate.Order{Channel: w.source, OutTradeNo: "rc000001", Amount: money.FromFen(100)}
		if err := w.Order(order); err != nil {
			t.Fatal(err)
		}
		if notice, err := query(); !errors.Is(err, channel.ErrUnpaid) || notice != (channel.Notice{}) {
			t.Errorf("an order that waits: %+v, %v", notice, err)
		}
		if err := w.CloseOrder(w.source, "rc000001"); err != nil {
			t.Fatal(err)
		}
		notice, err := query()
		if w.source == tasks.SourceUnionPay { // which has no word for it
			if !errors.Is(err, channel.ErrUnpaid) {
				t.Errorf("a closed order: %+v, %v", notice, err)
			}
			return
		}
		if err != nil || notice.Event != channel.EventClosed || notice.Channel != w.source || notice.OutTradeNo != "rc000001" ||
			notice.MerchantID == "" || notice.Amount.IsPositive() {
			t.Errorf("a closed order: %+v, %v", notice, err)
		}
		if _, err := w.Pay(order); !errors.Is(err, simulate.ErrClosed) {
			t.Errorf("a closed order is paid: %v", err)
		}
	})
}

// UnionPay knows an order by its number and the time that the merchant gave: a merchant that gives another one than it asks with never
// learns of the payment.
func TestUnionPayFindsAnOrderByTheTimeThatItWasGiven(t *testing.T) {
	t.Parallel()
	all := dialects.All()
	unionPay := slices.IndexFunc(all, func(kind simulate.Kind) bool { return kind.Source == tasks.SourceUnionPay })
	w := newTown(t, all[unionPay], simulate.Faults{})
	openedAt := clock.System.Now().Add(-time.Minute)
	order := simulate.Order{Channel: w.source, OutTradeNo: "rc000001", Amount: money.FromFen(100), OrderedAt: openedAt}
	if err := w.Order(order); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pay(order); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at   time.Time
		want error
	}{"the same": {openedAt, nil}, "in another zone": {openedAt.In(time.FixedZone("", -3600)), nil},
		"a second later": {openedAt.Add(time.Second), channel.ErrUnknownNumber}} {
		if notice, err := w.merchant.port.QueryPayment(t.Context(), channel.PaymentOrder{OutTradeNo: "rc000001", OpenedAt: c.at}); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", name, notice, err, c.want)
		}
	}
}
