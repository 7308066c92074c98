package proof_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// street is a stack with one simulated channel, whose notices are taken, and a worker that asks it.
type street struct {
	*stack
	source    tasks.Source
	simulator *simulate.Simulator
}

func openStreet(t *testing.T, kind simulate.Kind, faults simulate.Faults) *street {
	t.Helper()
	s := &street{stack: newStack(t, pgtest.New(t)), source: kind.Source}
	desk, door, dir := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil), t.TempDir()
	t.Cleanup(desk.Close)
	t.Cleanup(door.Close)
	var err error
	if s.simulator, err = simulate.Open(simulate.Config{Dir: dir, BaseURL: "http://" + desk.Listener.Addr().String(),
		NotifyURL: "http://" + door.Listener.Addr().String(), Kinds: []simulate.Kind{kind}, Faults: faults, TimeScale: 100}); err != nil {
		t.Fatal(err)
	}
	channels, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /{channel}", notice.NewHandler(notice.Config{Ports: channels, Pool: s.db.Pool, Client: s.client,
		Recharges: recharge.NewOrders(s.db.Pool, s.client.Books(), clock.System)}))
	desk.Config.Handler, door.Config.Handler = s.simulator.Handler(), mux
	desk.Start()
	door.Start()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.simulator.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = s.simulator.Close()
	})
	s.startWorker(t, s.db.Pool, func(c *worker.Config) { c.Refunders = channels.Refunders() })
	return s
}

// openCase waits for the one open case of a kind.
func (s *street) openCase(t *testing.T, kind ledger.CaseKind) (id string) {
	t.Helper()
	reader := ledger.NewReader(s.db.Pool)
	eventually(t, "a case of "+string(kind), func() bool {
		cases, _, err := reader.Cases(t.Context(), ledger.CaseFilter{Open: true, Kind: kind}, ledger.CasePosition{}, 10)
		if err != nil || len(cases) > 1 {
			t.Fatal(cases, err)
		}
		if len(cases) == 1 {
			id = cases[0].ID
		}
		return len(cases) == 1
	})
	return id
}

// sendBack asks for a case's return, and waits until the channel's answer is applied.
func (s *street) sendBack(t *testing.T, id string) {
	t.Helper()
	s.accept(t, &tasks.CaseReturn{CaseID: id, By: "ada", Note: "nobody's"})
	eventually(t, "the channel's answer is applied", func() bool {
		return s.count(t, `SELECT count(*) FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
			WHERE r.kind = 'refund:answer' AND r.payload ->> 'case_id' = $1`, id) == 1
	})
}

// expect compares where the 10.00 are, and what the channel says that it has paid back.
func (s *street) expect(t *testing.T, suspense, owed string, paidBack int) {
	t.Helper()
	s.expectBalance(t, ledger.Suspense(s.source), suspense)
	s.expectBalance(t, ledger.ChannelClearing(s.source), owed)
	s.expectBalance(t, ledger.ChannelRefunding(s.source), "0.00")
	paid := 0
	for _, entry := range s.simulator.Record() {
		if entry.Kind == simulate.EntryRefund && entry.State == channel.RefundSucceeded && entry.Amount == ledgertest.Yuan("10.00") {
			paid++
		}
	}
	if paid != paidBack {
		t.Errorf("the channel has paid 10.00 back %d times, want %d: %+v", paid, paidBack, s.simulator.Record())
	}
}

// A payment that nobody has ordered is suspended, sent back by a person, and paid back by its channel, once; or it stands in suspense again,
// until the channel has paid it after all.
func TestPaymentThatIsNobodysGoesBackThroughEveryChannel(t *testing.T) {
	t.Parallel()
	for _, kind := range dialects.All() {
		for name, faults := range map[string]simulate.Faults{"paid": {}, "failed": {FailedRefunds: 1000}} {
			if kind.Source == tasks.SourceAlipay && faults.FailedRefunds > 0 {
				continue // it tells of no refund that failed
			}
			t.Run(string(kind.Source)+" "+name, func(t *testing.T) {
				t.Parallel()
				s := openStreet(t, kind, faults)
				if _, err := s.simulator.Pay(simulate.Order{Channel: s.source, OutTradeNo: "SHOP00000001", Amount: ledgertest.Yuan("10.00")}); err != nil {
					t.Fatal(err)
				}
				id := s.openCase(t, ledger.UnmatchedRecharge)
				s.expect(t, "10.00", "-10.00", 0)
				s.sendBack(t, id)
				if faults.FailedRefunds == 0 {
					s.expect(t, "0.00", "0.00", 1)
					return
				}
				s.expect(t, "10.00", "-10.00", 0)
				s.openCase(t, ledger.FailedReturn)
				var number string
				if err := s.db.Owner.QueryRow(t.Context(), "SELECT key FROM requests WHERE kind = 'refund:answer'").Scan(&number); err != nil {
					t.Fatal(err)
				}
				if _, err := s.simulator.Revise(s.source, number); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the revision is applied", func() bool {
					return s.count(t, "SELECT count(*) FROM case_closings") == 2
				})
				s.expect(t, "0.00", "0.00", 1)
			})
		}
	}
}

// T19: of two payments of one recharge order one is credited; the other is suspended, and goes back by itself.
func TestSecondPaymentOfARechargeOrderGoesBackByItself(t *testing.T) {
	t.Parallel()
	for _, kind := range dialects.All() {
		t.Run(string(kind.Source), func(t *testing.T) {
			t.Parallel()
			s := openStreet(t, kind, simulate.Faults{})
			order, _, err := recharge.NewOrders(s.db.Pool, s.client.Books(), clock.System).Open(t.Context(), "shop",
				tasks.RechargeOrder{RechargeID: "rc1", UserID: "u1", Channel: s.source, Amount: ledgertest.Yuan("10.00")})
			if err != nil {
				t.Fatal(err)
			}
			for _, again := range []bool{false, true} {
				if _, err := s.simulator.Pay(simulate.Order{Channel: s.source, OutTradeNo: order.OutTradeNo, Amount: order.Amount, Again: again}); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the second payment is paid back", func() bool {
				return s.count(t, `SELECT count(*) FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
					WHERE r.kind = 'refund:answer' AND r.payload ->> 'result' = 'succeeded'`) == 1
			})
			s.expect(t, "0.00", "-10.00", 1)
			s.expectBalance(t, ledger.UserCash("u1"), "10.00")
			if n := s.count(t, "SELECT count(*) FROM requests WHERE kind = 'refund:send'"); n != 1 {
				t.Errorf("%d refunds were sent, want 1", n)
			}
			if n := s.count(t, "SELECT count(*) FROM open_cases"); n != 0 {
				t.Errorf("%d cases wait for a person", n)
			}
		})
	}
}

// A refund that fails is sent again under another number, which the channel pays; unless it holds the money.
func TestRefundThatFailedIsSentAgainThroughEveryChannel(t *testing.T) {
	t.Parallel()
	for _, kind := range dialects.All() {
		if kind.Source == tasks.SourceAlipay {
			continue // it tells of no refund that failed
		}
		t.Run(string(kind.Source), func(t *testing.T) {
			t.Parallel()
			s := openStreet(t, kind, simulate.Faults{ClosedRefunds: 1000})
			paid, err := s.simulator.Pay(simulate.Order{Channel: s.source, OutTradeNo: "o1ofTheShop1", Amount: ledgertest.Yuan("30.00"),
				NotifyURL: simulate.NoNotice})
			if err != nil {
				t.Fatal(err)
			}
			leg := ledgertest.Leg(s.source, "30.00")
			leg.ChannelTxnID = paid.ChannelTxnID
			payment, back := ledgertest.Payment("o1", "u1", leg), ledgertest.Refund("r1", "o1", "u1", "10.00")
			payment.OccurredAt, back.OccurredAt = clock.System.Now(), clock.System.Now() // channels find a refund by its time
			s.accept(t, payment)
			s.accept(t, back)
			id := s.openCase(t, ledger.FailedRefund)
			s.expectBalance(t, ledger.ChannelRefunding(s.source), "10.00")
			if err := s.simulator.SetFaults(simulate.Faults{}); err != nil {
				t.Fatal(err)
			}
			s.accept(t, &tasks.CaseReturn{CaseID: id, By: "ada", Note: "topped up"})
			eventually(t, "the channel has paid the second number", func() bool {
				return s.count(t, `SELECT count(*) FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
					WHERE r.kind = 'refund:answer' AND r.payload ->> 'result' = 'succeeded'`) == 1
			})
			s.expect(t, "0.00", "-20.00", 1)
			if n := s.count(t, "SELECT count(*) FROM open_cases"); n != 0 {
				t.Errorf("%d cases wait for a person", n)
			}
		})
	}
}
