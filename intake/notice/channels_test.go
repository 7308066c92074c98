package notice_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// mouth speaks for one channel to a door whose ports are a roster's.
type mouth struct {
	*door
	simulate.KeyedDialect
	roster *roster.Roster
	dir    string
}

func (m mouth) acknowledged(t *testing.T, n channel.Notice) bool {
	t.Helper()
	n.MerchantID = "" // the channel knows whose
	message, err := m.Notice(n, m.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	answer := m.send(t.Context(), string(m.Source()), message.Header, bytes.NewReader(message.Body))
	return m.Acknowledged(answer.Code, answer.Body.Bytes())
}

func forEachChannel(t *testing.T, test func(*testing.T, mouth)) {
	t.Helper()
	for _, kind := range dialects.All() {
		t.Run(string(kind.Source), func(t *testing.T) {
			t.Parallel()
			m := mouth{door: open(t), dir: t.TempDir()}
			var err error
			if m.KeyedDialect, err = kind.New(m.clock); err != nil {
				t.Fatal(err)
			}
			m.write(t)
			if m.roster, err = roster.Open(m.dir, http.DefaultClient, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			m.handle(m.roster)
			test(t, m)
		})
	}
}

// write gives the merchant the channel's keys.
func (m mouth) write(t *testing.T) {
	t.Helper()
	if err := simulate.WriteSettings(m.dir, m.KeyedDialect, "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
}

// rechargeBy opens an order of 100.00 through the channel, and returns the notice of its payment.
func (m mouth) rechargeBy(t *testing.T, id, txn string) channel.Notice {
	t.Helper()
	order, _, err := m.orders.Open(t.Context(), "shop", tasks.RechargeOrder{RechargeID: id, UserID: "u1", Channel: m.Source(),
		Amount: ledgertest.Yuan("100.00")})
	if err != nil {
		t.Fatal(err)
	}
	return paid(order, txn)
}

func TestEveryChannelsPaymentIsCreditedSuspendedOrSentBackAndAcknowledged(t *testing.T) {
	t.Parallel()
	forEachChannel(t, func(t *testing.T, m mouth) {
		first := m.rechargeBy(t, "rc1", "2026030222001400010001")
		second, wrong := first, m.rechargeBy(t, "rc2", "2026030222001400010003")
		second.ChannelTxnID = "2026030222001400010002"
		wrong.Amount = ledgertest.Yuan("99.99")
		m.clock.Advance(2 * time.Minute)
		for _, n := range []channel.Notice{first, first, second, wrong, second} {
			if !m.acknowledged(t, n) {
				t.Errorf("%+v is not acknowledged", n)
			}
		}
		m.expectCounted(t, map[string]int{"confirmed": 1, "replayed": 2, "suspended": 2})
		m.expect(t, map[ledger.AccountName]string{cash: "100.00", ledger.Suspense(m.Source()): "99.99", ledger.ChannelRefunding(m.Source()): "100.00"})
	})
}

func TestEveryChannelsRefundIsBookedAsItsQueryIs(t *testing.T) {
	t.Parallel()
	forEachChannel(t, func(t *testing.T, m mouth) {
		payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(m.Source(), "100.00"))
		payment.Legs[0].ChannelTxnID = "2026030222001400010001"
		ledgertest.Applied(t, m.Do(t, payment, ledgertest.Refund("rf1", "o1", "u1", "30.00"))...)
		number := refund.Number("rf1", 0)
		n := channel.Notice{Channel: m.Source(), Event: channel.EventRefund, OutTradeNo: "o1order1", ChannelTxnID: payment.Legs[0].ChannelTxnID,
			Amount: ledgertest.Yuan("30.00"), RefundedTotal: ledgertest.Yuan("30.00"), OccurredAt: ledgertest.Noon, RefundNumber: number,
			Refund: channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: ledgertest.Noon}}
		for range 2 {
			if !m.acknowledged(t, n) {
				t.Error("the end of a refund is not acknowledged")
			}
		}
		m.expectCounted(t, map[string]int{"answered": 1, "replayed": 1})
		m.expect(t, map[ledger.AccountName]string{ledger.ChannelRefunding(m.Source()): "0.00", ledger.ChannelClearing(m.Source()): "-70.00"})
		other := n
		other.RefundNumber = refund.Number("rf1", 1)
		if m.acknowledged(t, other) {
			t.Error("the end of a refund that was never sent is acknowledged")
		}
	})
}

// A channel signs with a new key: its notices are not acknowledged until the merchant has it, and nothing is restarted for that.
func TestEveryChannelsKeysRotateWithoutARestart(t *testing.T) {
	t.Parallel()
	forEachChannel(t, func(t *testing.T, m mouth) {
		n := m.rechargeBy(t, "rc1", "2026030222001400010001")
		m.clock.Advance(2 * time.Minute)
		if err := m.Rotate(); err != nil {
			t.Fatal(err)
		}
		// UnionPay's notices bring their certificate along, for which a root vouches that the merchant has.
		if m.Source() != tasks.SourceUnionPay {
			if m.acknowledged(t, n) {
				t.Error("a key that the merchant does not have is believed")
			}
			m.expectCounted(t, map[string]int{"not_genuine": 1})
		}
		m.write(t)
		watching, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- m.roster.Run(watching, m.clock) }()
		for range 2 { // it waits, then has looked and waits again
			if err := m.clock.WaitForTimers(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			m.clock.Advance(roster.Interval)
		}
		if err := m.clock.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := <-stopped; err != nil || !m.acknowledged(t, n) {
			t.Errorf("the new key is not believed (%v)", err)
		}
		m.expect(t, map[ledger.AccountName]string{cash: "100.00"})
	})
}
