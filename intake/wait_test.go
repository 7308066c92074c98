package intake_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// waitingDoor is a door whose clock the test moves.
type waitingDoor struct {
	door
	clock *clock.Manual
	api   *intake.API
}

func openWaiting(t *testing.T, db *pgtest.Database) waitingDoor {
	t.Helper()
	d := waitingDoor{door: door{Books: ledgertest.OpenOn(t, db), token: accesstest.Key(t, db, "shop", access.RechargesWrite)},
		clock: clock.NewManual(ledgertest.Noon)}
	d.api = intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Clock: d.clock, Access: accesstest.Guard(t, db),
		Recharges: rechargeOrders(d.Books)})
	server := httptest.NewServer(d.api)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// ask posts a recharge that prefers to wait. It may be called from any goroutine of the test.
func (d door) ask(t *testing.T, body, prefer string) answer {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/requests/recharge:confirm", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return answer{}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Prefer", prefer)
	return d.send(t, request)
}

// expect fails the test unless the answer is of that status, with or without an outcome.
func (a answer) expect(t *testing.T, status int, decided bool, applied string) {
	t.Helper()
	var receipt tasks.Receipt
	a.decode(t, &receipt)
	if a.status != status || (receipt.Outcome != nil) != decided || a.header.Get("Preference-Applied") != applied {
		t.Errorf("answer %d %s, applied %q; want %d, decided %t, applied %q", a.status, a.body, a.header.Get("Preference-Applied"), status,
			decided, applied)
	}
}

// timersOfAWait are those of a call that waits, and of the watch that asks for it.
const timersOfAWait = 2

func TestCallThatWaitsIsAnsweredWithItsOutcome(t *testing.T) {
	t.Parallel()
	d := openWaiting(t, pgtest.New(t))
	got := make(chan answer, 1)
	go func() { got <- d.ask(t, recharge("rc1", "u1", "1.00"), "wait=10") }()
	if err := d.clock.WaitForTimers(t.Context(), timersOfAWait); err != nil {
		t.Fatal(err)
	}
	receipts := d.Accept(t, ledgertest.Recharge("rc1", "u1", "1.00")) // a replay, which tells the id
	ledgertest.Applied(t, d.Apply(t, receipts...)...)
	d.clock.Advance(time.Second)
	(<-got).expect(t, http.StatusOK, true, "wait=10")
	d.ask(t, recharge("rc1", "u1", "1.00"), "wait=10").expect(t, http.StatusOK, true, "") // it was there already: nothing was waited for
}

func TestCallWhoseOutcomeDoesNotComeInTimeIsAccepted(t *testing.T) {
	t.Parallel()
	d := openWaiting(t, pgtest.New(t))
	for _, c := range []struct {
		prefer, applied string
		wait            time.Duration
		status          int
	}{{"wait=10", "wait=10", 10 * time.Second, http.StatusAccepted}, {"wait=3600", "wait=30", intake.WaitMax, http.StatusOK}} {
		got := make(chan answer, 1)
		go func() { got <- d.ask(t, recharge("rc1", "u1", "1.00"), c.prefer) }()
		if err := d.clock.WaitForTimers(t.Context(), timersOfAWait); err != nil {
			t.Fatal(err)
		}
		d.clock.Advance(c.wait)
		(<-got).expect(t, c.status, false, c.applied) // the second is a replay
	}
	d.ask(t, recharge("rc2", "u1", "1.00"), "respond-async").expect(t, http.StatusAccepted, false, "")
}

func TestProcessThatEndsLetsNobodyWait(t *testing.T) {
	t.Parallel()
	d := openWaiting(t, pgtest.New(t))
	got := make(chan answer, 1)
	go func() { got <- d.ask(t, recharge("rc1", "u1", "1.00"), "wait=10") }()
	if err := d.clock.WaitForTimers(t.Context(), timersOfAWait); err != nil {
		t.Fatal(err)
	}
	d.api.Drain()
	(<-got).expect(t, http.StatusAccepted, false, "wait=10")
}

func TestForeignOutcomeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	d := openWaiting(t, pgtest.New(t))
	d.ask(t, recharge("rc1", "u1", "1.00"), "").expect(t, http.StatusAccepted, false, "")
	other := d.as(accesstest.Key(t, d.DB, "other", access.RechargesWrite))
	if got := other.ask(t, recharge("rc1", "u1", "1.00"), "wait=10"); got.status != http.StatusConflict || got.header.Get("Preference-Applied") != "" {
		t.Errorf("answer %d %s, waited %q", got.status, got.body, got.header.Get("Preference-Applied"))
	}
}

func TestOutageWhileACallWaitsIsNoTroubleOfItsRequest(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	d := openWaiting(t, db)
	got := make(chan answer, 1)
	go func() { got <- d.ask(t, recharge("rc1", "u1", "1.00"), "wait=10") }()
	if err := d.clock.WaitForTimers(t.Context(), timersOfAWait); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(time.Second)
	if err := d.clock.WaitForTimers(t.Context(), timersOfAWait); err != nil { // it has asked in vain, and will ask again
		t.Fatal(err)
	}
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
	receipts := d.Accept(t, ledgertest.Recharge("rc1", "u1", "1.00"))
	ledgertest.Applied(t, d.Apply(t, receipts...)...)
	d.clock.Advance(2 * time.Second)
	(<-got).expect(t, http.StatusOK, true, "wait=10")
}

func TestManyCallsWaitAtOnceAndEachGetsItsOwnOutcome(t *testing.T) {
	t.Parallel()
	d := open(t)
	const calls = 200
	var asking sync.WaitGroup
	answered := make(chan answer, calls)
	for i := range calls {
		asking.Go(func() { answered <- d.ask(t, manyRecharges(calls)[i], "wait=30") })
	}
	// The system that applies what is accepted, for as long as calls wait.
	applying, done := context.WithCancel(t.Context())
	var applier sync.WaitGroup
	applier.Go(func() { applyPending(applying, t, d) })
	asking.Wait()
	done()
	applier.Wait()
	close(answered)
	keys := map[string]bool{}
	for got := range answered {
		var receipt tasks.Receipt
		got.decode(t, &receipt)
		keys[receipt.Key] = receipt.Outcome != nil && receipt.Outcome.Result == tasks.Applied
	}
	for key, applied := range keys {
		if !applied {
			t.Errorf("%s was answered without its outcome", key)
		}
	}
	if len(keys) != calls {
		t.Errorf("%d keys, want %d", len(keys), calls)
	}
	if n, err := testutil.GatherAndCount(d.registry, "settled_intake_waits_total"); err != nil || n != 3 {
		t.Errorf("%d series of waits, %v", n, err)
	}
}

// applyPending applies what is pending, again and again.
func applyPending(ctx context.Context, t *testing.T, d door) {
	for ctx.Err() == nil {
		page, _, err := d.Reader.Outstanding(t.Context(), ledger.OutstandingFilter{State: ledger.StateAccepted}, ledger.FirstRequest(), 500)
		if err != nil {
			t.Error(err)
			return
		}
		for _, request := range page {
			if _, err := d.Ledger.Apply(t.Context(), request.Book, request.ID); err != nil {
				t.Error(err)
				return
			}
		}
	}
}
