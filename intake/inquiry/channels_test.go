package inquiry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// street is a real channel's port, its simulated other side, and the door where its notices would be taken, which is closed. Ports sign by
// the system's clock, so the channel goes by it too; orders are dated, and asked about, by the test's.
type street struct {
	*world
	source    tasks.Source
	opened    time.Time // when the order was
	simulator *simulate.Simulator
	door      http.Handler
	knocked   chan *http.Request // the first notice, with its body
}

// forEachChannel runs a test for every channel, with a process that asks it.
func forEachChannel(t *testing.T, test func(*testing.T, *street)) {
	t.Helper()
	for _, kind := range dialects.All() {
		t.Run(string(kind.Source), func(t *testing.T) {
			t.Parallel()
			s := &street{world: open(t), source: kind.Source, knocked: make(chan *http.Request, 1)}
			desk, closed := httptest.NewUnstartedServer(nil), httptest.NewServer(http.HandlerFunc(s.refuse))
			t.Cleanup(desk.Close)
			t.Cleanup(closed.Close)
			dir := t.TempDir()
			var err error
			if s.simulator, err = simulate.Open(simulate.Config{Dir: dir, BaseURL: "http://" + desk.Listener.Addr().String(), NotifyURL: closed.URL,
				Kinds: []simulate.Kind{kind}}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.simulator.Close() })
			desk.Config.Handler = s.simulator.Handler()
			desk.Start()
			channels, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle("POST /{channel}", notice.NewHandler(notice.Config{Ports: channels, Pool: s.DB.Pool, Recharges: s.orders,
				Client: s.Client}))
			s.door = mux
			s.process = s.startWith(channels)
			test(t, s)
		})
	}
}

// refuse answers a notice as a proxy does whose API is away.
func (s *street) refuse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case s.knocked <- r:
		default: // it comes again
		}
	}
	w.WriteHeader(http.StatusBadGateway)
}

// open opens an order of 100.00 some time ago, and has the merchant send it to the channel.
func (s *street) open(t *testing.T, ago time.Duration) simulate.Order {
	t.Helper()
	s.opened = clock.System.Now().Add(-ago)
	s.clock.Set(s.opened)
	order, _, err := s.orders.Open(t.Context(), "shop", tasks.RechargeOrder{RechargeID: "rc1", UserID: "u1", Channel: s.source,
		Amount: ledgertest.Yuan("100.00")})
	if err != nil {
		t.Fatal(err)
	}
	sent := simulate.Order{Channel: s.source, OutTradeNo: order.OutTradeNo, Amount: order.Amount, OrderedAt: order.CreatedAt}
	if err := s.simulator.Order(sent); err != nil {
		t.Fatal(err)
	}
	return sent
}

// ask asks about what is due some time after the order was opened.
func (s *street) ask(t *testing.T, after time.Duration) {
	t.Helper()
	s.clock.Set(s.opened.Add(after))
	if _, err := s.Page(t.Context(), s.source); err != nil {
		t.Fatal(err)
	}
}

// expectCounted compares what the inquiries came to.
func (s *street) expectCounted(t *testing.T, want map[string]float64) {
	t.Helper()
	got := s.series(t, "settled_intake_inquiries_total")
	for result, n := range want {
		if got[string(s.source)+" "+result+" "] != n {
			t.Errorf("%s: counted %v, want %v; logged %s", result, got, want, s.logged)
		}
	}
}

// The API is away for all that the channel does to tell: the payment is credited. A notice that comes late all the same is a replay.
func TestEveryChannelsPaymentIsLearntByAskingAndItsNoticeIsAReplay(t *testing.T) {
	t.Parallel()
	forEachChannel(t, func(t *testing.T, s *street) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.simulator.Run(ctx) }()
		defer func() {
			cancel()
			<-ended
		}()
		sent := s.open(t, 0)
		s.ask(t, 5*time.Minute)
		s.expectCounted(t, map[string]float64{"unpaid": 1})
		if _, err := s.simulator.Pay(sent); err != nil {
			t.Fatal(err)
		}
		late := <-s.knocked
		s.ask(t, 15*time.Minute)
		s.expectCounted(t, map[string]float64{"unpaid": 1, "confirmed": 1})
		want := map[ledger.AccountName]string{cash: "100.00", ledger.Suspense(s.source): "0.00"}
		s.expect(t, want)
		s.expectWaiting(t, 0)
		answer := httptest.NewRecorder()
		s.door.ServeHTTP(answer, late.WithContext(t.Context()))
		if answer.Code >= 300 {
			t.Errorf("the notice is answered %d %s", answer.Code, answer.Body)
		}
		s.expect(t, want)
		if conflicts := s.count(t, "SELECT count(*) FROM conflicts"); conflicts != 0 {
			t.Errorf("the notice differs from the answer in %d conflicts", conflicts)
		}
	})
}

// Paid after the order had expired, with no notice: the money is in suspense and a person is asked.
func TestEveryChannelsLatePaymentStandsInSuspense(t *testing.T) {
	t.Parallel()
	forEachChannel(t, func(t *testing.T, s *street) {
		sent := s.open(t, 150*time.Minute)
		sent.NotifyURL = "none"
		if _, err := s.simulator.Pay(sent); err != nil {
			t.Fatal(err)
		}
		s.ask(t, 3*time.Hour)
		s.expectCounted(t, map[string]float64{"suspended": 1})
		s.expect(t, map[ledger.AccountName]string{cash: "0.00", ledger.Suspense(s.source): "100.00"})
		s.expectWaiting(t, 0)
		if cases := s.count(t, "SELECT count(*) FROM cases WHERE detail LIKE '%closed_order%'"); cases != 1 {
			t.Errorf("%d cases", cases)
		}
	})
}

// An order that its merchant never sent, and one that nobody pays, are asked about until the last time.
func TestEveryChannelsUnpaidOrdersEnd(t *testing.T) {
	t.Parallel()
	forEachChannel(t, func(t *testing.T, s *street) {
		s.open(t, 0)
		if _, _, err := s.orders.Open(t.Context(), "shop", tasks.RechargeOrder{RechargeID: "rc2", UserID: "u1", Channel: s.source,
			Amount: ledgertest.Yuan("1.00")}); err != nil {
			t.Fatal(err)
		}
		s.ask(t, 5*time.Minute)
		s.expectCounted(t, map[string]float64{"unpaid": 1, "unknown_number": 1})
		s.ask(t, 74*time.Hour)
		s.expectCounted(t, map[string]float64{"unpaid": 2, "unknown_number": 2})
		s.expectWaiting(t, 0)
		s.expect(t, map[ledger.AccountName]string{cash: "0.00"})
	})
}
