package dialects_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// town is a simulated channel and a merchant who has it from its settings, both served over HTTP. Every dialect is taken through the
// same tests with the port that it is to speak with.
type town struct {
	*simulate.Simulator
	kind     simulate.Kind
	merchant *merchant
	source   tasks.Source
}

// merchant reads notices with its port, and keeps them.
type merchant struct {
	port channel.Port

	mu      sync.Mutex
	notices []channel.Notice
	refused []error
}

func (m *merchant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	now := clock.System.Now()
	notice, err := m.port.ReadNotice(r.Header, body, now)
	m.mu.Lock()
	if err == nil {
		m.notices = append(m.notices, notice)
	} else {
		m.refused = append(m.refused, err)
	}
	m.mu.Unlock()
	reply := m.port.Reply(err, now)
	if reply.ContentType != "" {
		w.Header().Set("Content-Type", reply.ContentType)
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

// news are the notices that came, and the errors of those that were refused.
func (m *merchant) news() ([]channel.Notice, []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.notices), slices.Clone(m.refused)
}

// later is a handler that is known after its server has started.
type later struct{ http.Handler }

func forEach(t *testing.T, faults simulate.Faults, test func(*testing.T, *town)) {
	t.Helper()
	for _, kind := range dialects.All() {
		t.Run(string(kind.Source), func(t *testing.T) {
			t.Parallel()
			test(t, newTown(t, kind, faults))
		})
	}
}

func newTown(t *testing.T, kind simulate.Kind, faults simulate.Faults) *town {
	t.Helper()
	m, channels := &merchant{}, &later{}
	shop, gateway := httptest.NewServer(m), httptest.NewUnstartedServer(channels)
	t.Cleanup(shop.Close)
	dir := t.TempDir()
	s, err := simulate.Open(simulate.Config{Dir: dir, BaseURL: "http://" + gateway.Listener.Addr().String(), NotifyURL: shop.URL,
		Kinds: []simulate.Kind{kind}, Faults: faults, TimeScale: 1000})
	if err != nil {
		t.Fatal(err)
	}
	channels.Handler = s.Handler()
	gateway.Start()
	t.Cleanup(gateway.Close)
	opened, err := roster.Open(dir, gateway.Client(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	port, found := opened.Port(kind.Source)
	if !found {
		t.Fatalf("the roster does not know %s", kind.Source)
	}
	m.port = port
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return &town{Simulator: s, kind: kind, merchant: m, source: kind.Source}
}

func (w *town) pay(t testing.TB, order, amount string) simulate.Receipt {
	t.Helper()
	paid, err := money.Parse(amount)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := w.Pay(simulate.Order{Channel: w.source, OutTradeNo: order, Amount: paid})
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// entry waits until the notice of an order's payment or of a refund is in one of the states.
func (w *town) entry(t testing.TB, number string, states ...simulate.NoticeState) simulate.Entry {
	t.Helper()
	for {
		changed := w.Changed()
		for _, e := range w.Record() {
			if (e.Kind == simulate.EntryPayment && e.OutTradeNo == number || e.RefundNumber == number) && slices.Contains(states, e.Notice) {
				return e
			}
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("%s is never %v", number, states)
		}
	}
}

func refundOf(paid simulate.Receipt, number, amount string) tasks.RefundOrder {
	refunded, err := money.Parse(amount)
	if err != nil {
		panic(err)
	}
	return tasks.RefundOrder{Number: number, RefundID: "r1", OrderID: paid.OutTradeNo, UserID: "ada", Channel: paid.Channel,
		ChannelTxnID: paid.ChannelTxnID, Captured: paid.Amount, Amount: refunded, OccurredAt: paid.PaidAt}
}

func TestMerchantReadsWhatWasPaidAndAcknowledgesIt(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		paid := w.pay(t, "rc000001", "100.01")
		if e := w.entry(t, "rc000001", simulate.NoticeAcknowledged, simulate.NoticeGivenUp); e.Notice != simulate.NoticeAcknowledged ||
			e.Deliveries != 1 {
			_, refused := w.merchant.news()
			t.Fatalf("%+v; the merchant refused %v", e, refused)
		}
		notices, _ := w.merchant.news()
		n := notices[0]
		if n.Channel != w.source || n.Event != channel.EventPaid || n.OutTradeNo != "rc000001" || n.ChannelTxnID != paid.ChannelTxnID ||
			n.Amount != paid.Amount || !n.OccurredAt.Equal(paid.PaidAt) || n.MerchantID == "" {
			t.Errorf("read %+v of %+v", n, paid)
		}
	})
}

// C4: a notice and the answers of both interfaces tell the same end.
func TestRefundIsPaidOnceAndToldAlike(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]simulate.Faults{"at once": {}, "later": {SlowRefunds: 1000},
		"failed": {FailedRefunds: 1000}, "failed later": {FailedRefunds: 1000, SlowRefunds: 1000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, faults, func(t *testing.T, w *town) {
				paid := w.pay(t, "rc000001", "100.00")
				order := refundOf(paid, "rf000001", "30.00")
				if _, err := w.merchant.port.Query(t.Context(), order); !errors.Is(err, channel.ErrUnknownNumber) {
					t.Errorf("query before: %v, want %v", err, channel.ErrUnknownNumber)
				}
				first, err := w.merchant.port.Refund(t.Context(), order)
				if err != nil {
					t.Fatal(err)
				}
				told := w.entry(t, order.Number, simulate.NoticeAcknowledged, simulate.NoticeGivenUp, simulate.NoticeNone)
				queried, err := channel.Pursue(t.Context(), w.merchant.port, order, true) // some tell of a failure to its repeats alone
				if err != nil {
					t.Fatal(err)
				}
				again, err := w.merchant.port.Refund(t.Context(), order)
				if err != nil { // a channel may refuse a repeat; then it is queried
					again, err = channel.Pursue(t.Context(), w.merchant.port, order, true)
				}
				if err != nil {
					t.Fatal(err)
				}
				if faults.FailedRefunds == 0 && queried.State != channel.RefundSucceeded || faults.FailedRefunds > 0 && queried.State != channel.RefundFailed {
					t.Errorf("ended as %+v", queried)
				}
				for _, answer := range []channel.RefundAnswer{first, again} {
					if diff := cmp.Diff(queried, answer); diff != "" && answer.State != channel.RefundProcessing {
						t.Errorf("an answer differs (-queried +answered):\n%s", diff)
					}
				}
				w.sameNews(t, told, order, queried)
				if entries := w.Record(); len(entries) != 2 {
					t.Errorf("the record has %+v, want a payment and a refund", entries)
				}
			})
		})
	}
}

// sameNews compares a refund's notice, where the channel sends one, with what a query told.
func (w *town) sameNews(t *testing.T, told simulate.Entry, order tasks.RefundOrder, queried channel.RefundAnswer) {
	t.Helper()
	if told.Notice == simulate.NoticeNone {
		return
	}
	notices, refused := w.merchant.news()
	if told.Notice != simulate.NoticeAcknowledged {
		t.Fatalf("the notice is %s; the merchant refused %v", told.Notice, refused)
	}
	n := notices[slices.IndexFunc(notices, func(n channel.Notice) bool { return n.Event == channel.EventRefund })]
	if n.RefundNumber != order.Number || n.ChannelTxnID != "" && n.ChannelTxnID != order.ChannelTxnID || n.Amount.IsZero() && n.RefundedTotal != order.Amount ||
		!n.Amount.IsZero() && n.Amount != order.Amount {
		t.Errorf("notice %+v of %+v", n, order)
	}
	if diff := cmp.Diff(queried, n.Refund); diff != "" {
		t.Errorf("the notice differs (-queried +told):\n%s", diff)
	}
}

// A channel says that a refund failed, and later in every way that it is paid: its answers and its notice tell the same.
func TestRevisedRefundIsToldAsFailedAndThenAsPaid(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{FailedRefunds: 1000}, func(t *testing.T, w *town) {
		paid := w.pay(t, "rc000001", "100.00")
		order := refundOf(paid, "rf000001", "30.00")
		if _, err := w.merchant.port.Refund(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		if failed, err := channel.Pursue(t.Context(), w.merchant.port, order, true); err != nil || failed.State != channel.RefundFailed {
			t.Fatalf("first %+v, %v", failed, err)
		}
		failure := w.entry(t, order.Number, simulate.NoticeAcknowledged, simulate.NoticeNone)
		if _, err := w.Revise(w.source, order.Number); err != nil {
			t.Fatal(err)
		}
		e := w.entry(t, order.Number, simulate.NoticeAcknowledged, simulate.NoticeGivenUp)
		notices, refused := w.merchant.news()
		if e.Notice != simulate.NoticeAcknowledged || e.FailureNotice != failure.Notice || e.FailedAt.IsZero() {
			t.Fatalf("%+v; the merchant refused %v", e, refused)
		}
		want, err := w.merchant.port.Query(t.Context(), order)
		if err != nil || want.State != channel.RefundSucceeded {
			t.Fatalf("then %+v, %v", want, err)
		}
		var told []channel.RefundState
		for _, n := range notices {
			if n.Event == channel.EventRefund {
				told = append(told, n.Refund.State)
			}
		}
		if failure.Notice == simulate.NoticeNone {
			told = append([]channel.RefundState{channel.RefundFailed}, told...) // by its answer alone
		}
		if diff := cmp.Diff([]channel.RefundState{channel.RefundFailed, channel.RefundSucceeded}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, notices[len(notices)-1].Refund); diff != "" {
			t.Errorf("the last notice differs (-queried +told):\n%s", diff)
		}
	})
}

func TestHangingAnswerIsUnknownAndThenFound(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{HangingAnswers: 1000}, func(t *testing.T, w *town) {
		order := refundOf(w.pay(t, "rc000001", "100.00"), "rf000001", "30.00")
		patient, giveUp := context.WithCancel(t.Context())
		asked := make(chan error, 1)
		go func() {
			_, err := w.merchant.port.Refund(patient, order)
			asked <- err
		}()
		w.entry(t, order.Number, simulate.NoticeAcknowledged) // it was taken, and is paid
		giveUp()
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Errorf("%v; want to give up", err)
		}
		if answer, err := channel.Pursue(t.Context(), w.merchant.port, order, true); err != nil || answer.State != channel.RefundSucceeded {
			t.Errorf("%+v, %v", answer, err)
		}
	})
}

func TestLostAnswerIsUnknownAndThenFound(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{LostAnswers: 1000}, func(t *testing.T, w *town) {
		order := refundOf(w.pay(t, "rc000001", "100.00"), "rf000001", "30.00")
		if answer, err := w.merchant.port.Refund(t.Context(), order); err == nil {
			t.Errorf("the answer was not lost: %+v", answer)
		}
		if answer, err := channel.Pursue(t.Context(), w.merchant.port, order, true); err != nil || answer.State != channel.RefundSucceeded {
			t.Errorf("%+v, %v", answer, err)
		}
	})
}

// Refusals of a channel are not the end of a refund, unless the channel says so for good.
func TestRefundsThatDoNotFitMoveNothing(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		paid := w.pay(t, "rc000001", "100.00")
		if _, err := w.merchant.port.Refund(t.Context(), refundOf(paid, "rf000001", "60.00")); err != nil {
			t.Fatal(err)
		}
		nobodys := paid
		nobodys.ChannelTxnID, nobodys.OutTradeNo = strings.Repeat("9", len(paid.ChannelTxnID)), "rc000002"
		for name, order := range map[string]tasks.RefundOrder{
			"more than is left": refundOf(paid, "rf000002", "40.01"), "another amount": refundOf(paid, "rf000001", "59.99"),
			"nobody's payment": refundOf(nobodys, "rf000003", "1.00"),
		} {
			if answer, err := w.merchant.port.Refund(t.Context(), order); err == nil && answer.State != channel.RefundFailed {
				t.Errorf("%s: %+v", name, answer)
			}
		}
		var refunded money.Amount
		for _, e := range w.Record() {
			if e.Kind == simulate.EntryRefund {
				refunded = refunded.Add(e.Amount)
			}
		}
		if refunded.String() != "60.00" {
			t.Errorf("%s were refunded", refunded)
		}
	})
}

func TestOnlySuccessIsAcknowledged(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		dialect, now := w.fresh(t), clock.System.Now()
		for _, problem := range []error{channel.ErrNotGenuine, channel.ErrProbe, channel.ErrStale, channel.ErrMalformed, channel.ErrNotOurs,
			errors.New("the database is away")} {
			if reply := w.merchant.port.Reply(problem, now); dialect.Acknowledged(reply.Status, reply.Body) {
				t.Errorf("%v: the channel takes %d %s for success", problem, reply.Status, reply.Body)
			}
		}
		for _, status := range []int{200, 404, 500, 502} {
			if body := "<html>gateway</html>"; status != 200 && dialect.Acknowledged(status, []byte(body)) {
				t.Errorf("the channel takes a gateway's %d for success", status)
			}
		}
		if len(dialect.Redeliveries()) == 0 || dialect.AnswerWithin() <= 0 {
			t.Error("the channel does not try again, or does not wait")
		}
	})
}

// fresh is another instance of the channel, with other keys.
func (w *town) fresh(t testing.TB) simulate.KeyedDialect {
	t.Helper()
	dialect, err := w.kind.New(clock.System)
	if err != nil {
		t.Fatal(err)
	}
	return dialect
}

// loaded gives the port of a merchant of the dialect.
func loaded(t testing.TB, dialect simulate.Dialect) channel.Port {
	t.Helper()
	dir := t.TempDir()
	if err := simulate.WriteSettings(dir, dialect, "http://channel.invalid"); err != nil {
		t.Fatal(err)
	}
	opened, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	port, _ := opened.Port(dialect.Source())
	return port
}

func TestNoticesOfOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		other := w.fresh(t)
		message, err := other.Notice(paidNotice(w.source, "rc000001", "20260302000000000000", 100), clock.System.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.merchant.port.ReadNotice(message.Header, message.Body, clock.System.Now()); !errors.Is(err, channel.ErrNotGenuine) {
			t.Errorf("%v, want %v", err, channel.ErrNotGenuine)
		}
	})
}

func TestRestoredKeysAreTheSame(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		one := w.fresh(t)
		port := loaded(t, one)
		if err := one.Rotate(); err != nil {
			t.Fatal(err)
		}
		keys, err := one.Keys()
		if err != nil {
			t.Fatal(err)
		}
		other, err := w.kind.Restore(clock.System, keys)
		if err != nil {
			t.Fatal(err)
		}
		now := clock.System.Now()
		for name, dialect := range map[string]simulate.Dialect{"before": one, "after": other} {
			message, err := dialect.Notice(paidNotice(w.source, "rc000001", "20260302000000000000", 100), now)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := loaded(t, other).ReadNotice(message.Header, message.Body, now); err != nil {
				t.Errorf("%s the keys were restored: %v", name, err)
			}
			// UnionPay's notices bring their certificate along, for which a root vouches that the merchant has.
			_, err = port.ReadNotice(message.Header, message.Body, now)
			if known := w.source == tasks.SourceUnionPay; known && err != nil || !known && !errors.Is(err, channel.ErrNotGenuine) {
				t.Errorf("%s, to a merchant who has not loaded the rotated keys: %v", name, err)
			}
		}
		for _, damaged := range [][]byte{nil, []byte("{}"), keys[:len(keys)/2]} {
			if _, err := w.kind.Restore(clock.System, damaged); err == nil {
				t.Errorf("%d bytes of keys were restored", len(damaged))
			}
		}
	})
}

// Bare keys have no end; digital RMB's bank uses nothing else.
func TestPortsKnowWhenTheirCertificatesEnd(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		port, knows := w.merchant.port.(interface{ CertificateExpiry() (time.Time, bool) })
		if !knows {
			if w.source != tasks.SourceECNY {
				t.Error("it does not know")
			}
			return
		}
		if at, ends := port.CertificateExpiry(); !ends || at.Before(clock.System.Now().AddDate(1, 0, 0)) {
			t.Errorf("they end at %s, %v", at, ends)
		}
	})
}

func paidNotice(source tasks.Source, order, txnID string, fen int64) channel.Notice {
	return channel.Notice{Channel: source, Event: channel.EventPaid, OutTradeNo: order, ChannelTxnID: txnID, Amount: money.FromFen(fen),
		OccurredAt: clock.System.Now().UTC().Truncate(time.Second)}
}

// Whatever was paid reads back as it was written, and no message that was changed on the way reads at all.
func TestAnyPaymentIsReadAndNoChangedOne(t *testing.T) {
	t.Parallel()
	forEach(t, simulate.Faults{}, func(t *testing.T, w *town) {
		dialect := w.fresh(t)
		port := loaded(t, dialect)
		rapid.Check(t, func(rt *rapid.T) {
			now := clock.System.Now()
			want := paidNotice(w.source, rapid.StringMatching(`[A-Za-z0-9]{8,32}`).Draw(rt, "order"),
				rapid.StringMatching(`[0-9]{21}`).Draw(rt, "transaction"), rapid.Int64Range(1, 1_000_000_00).Draw(rt, "fen"))
			message, err := dialect.Notice(want, now)
			if err != nil {
				rt.Fatal(err)
			}
			got, err := port.ReadNotice(message.Header, message.Body, now)
			if err != nil {
				rt.Fatal(err)
			}
			want.ID, want.MerchantID, want.AppID = got.ID, got.MerchantID, got.AppID // the channel's own
			if !got.OccurredAt.Equal(want.OccurredAt) {
				rt.Errorf("occurred at %s, want %s", got.OccurredAt, want.OccurredAt)
			}
			got.OccurredAt = want.OccurredAt
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Errorf("(-written +read):\n%s", diff)
			}
			at := rapid.IntRange(0, len(message.Body)-1).Draw(rt, "at")
			changed := slices.Clone(message.Body)
			changed[at] ^= byte(1 << rapid.IntRange(0, 6).Draw(rt, "bit"))
			if got, err := port.ReadNotice(message.Header, changed, now); err == nil && cmp.Diff(want, got) != "" {
				rt.Errorf("with byte %d changed it reads %+v", at, got)
			}
		})
	})
}
