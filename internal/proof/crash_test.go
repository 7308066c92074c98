package proof_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// openThrough opens a pool whose connections go through the cable.
func openThrough(t *testing.T, c *cable, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), databaseURL, postgres.MaxConns(6), postgres.Configure(func(config *pgxpool.Config) {
		config.ConnConfig.DialFunc = c.dial
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// person is who all requests of a batch are about.
const person = "anna"

// history is what has happened before a batch that is cut.
func history() []tasks.Payload {
	return []tasks.Payload{
		ledgertest.Recharge("r0", person, "100.00"), ledgertest.Reward("w0", person, "5.00"),
		ledgertest.Payment("o0", person, ledgertest.Leg(tasks.SourceCash, "30.00"), ledgertest.Leg(tasks.SourceWeChat, "30.00")),
	}
}

// batchOfAllKinds is a batch that writes every table of the hot path: it opens accounts, captures an order, gives back parts of another
// one to balance and channel, sends money to another book, parks a refund, and refuses two requests.
func batchOfAllKinds() []tasks.Payload {
	elsewhere := ""
	for i := 0; elsewhere == "" || tasks.BookOf(elsewhere, 4) == tasks.BookOf(person, 4); i++ {
		elsewhere = fmt.Sprint("user", i)
	}
	return []tasks.Payload{
		ledgertest.Recharge("r1", person, "10.00"), ledgertest.Reward("w1", person, "1.00"),
		ledgertest.Payment("o1", person, ledgertest.Leg(tasks.SourceCash, "20.00"), ledgertest.Leg(tasks.SourceReward, "5.00")),
		ledgertest.Refund("f1", "o0", person, "10.00"), ledgertest.Refund("f2", "o1", person, "2.50"), ledgertest.Refund("f3", "o9", person, "1.00"),
		ledgertest.Refund("f4", "o0", person, "99.00"), ledgertest.Transfer("x1", person, elsewhere, "7.00"),
		ledgertest.Transfer("x2", person, elsewhere, "999.00"), ledgertest.Enrolment("e1", person, "3.00"),
	}
}

// expectBatchOnce compares the books with what the history and the batch do, once.
func expectBatchOnce(t *testing.T, b *ledgertest.Books) {
	t.Helper()
	b.Expect(t, ledger.UserCash(person), "60.00") // 100 - 30 + 10 - 20 + 5 + 2 - 7
	b.Expect(t, ledger.UserReward(person), "1.50")
	b.Expect(t, ledger.MerchantPayable("m1"), "72.50")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "5.00")
	b.Expect(t, ledger.Promotion("c1"), "-6.00")
	b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-140.00")
}

// wantFates are what becomes of the batch's requests.
var wantFates = []string{"applied", "applied", "applied", "applied", "applied", "parked", "exceeds_refundable", "applied", "insufficient_funds", "applied"}

func fatesOf(answers []ledger.Answer) []string {
	fates := make([]string, len(answers))
	for i, a := range answers {
		switch {
		case a.Fate != ledger.Decided:
			fates[i] = string(a.Fate)
		case a.Outcome.Reason != "":
			fates[i] = string(a.Outcome.Reason)
		default:
			fates[i] = string(a.Outcome.Result)
		}
	}
	return fates
}

// Wherever the line to PostgreSQL is cut, the batch is applied once, and its caller is told so.
func TestBatchThatIsCutFromPostgresIsAppliedOnce(t *testing.T) {
	t.Parallel()
	for _, at := range points {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			b := ledgertest.OpenOn(t, pgtest.New(t))
			ledgertest.Applied(t, b.Do(t, history()...)...)
			c := newCable(t, b.DB.URL)
			l, err := ledger.Open(t.Context(), openThrough(t, c, b.DB.URL), ledger.Config{Rules: rules.All()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			receipts := b.Accept(t, batchOfAllKinds()...)
			book, ids := idsOf(t, receipts)
			struck := c.arm(at, strikeOf(t, b, at))
			answers, err := l.Apply(t.Context(), book, ids...)
			if err != nil {
				t.Fatalf("the ledger does not recover by itself: %v", err)
			}
			waitFor(t, struck, "the cable to break")
			if diff := cmp.Diff(wantFates, fatesOf(answers)); diff != "" {
				t.Errorf("fates (-want +got):\n%s", diff)
			}
			expectBatchOnce(t, b)
			again := b.Apply(t, receipts...) // by another worker
			for i, answer := range again {
				if answer.Outcome != answers[i].Outcome {
					t.Errorf("%s was answered %+v and is %+v", receipts[i].Key, answers[i].Outcome, answer.Outcome)
				}
			}
			expectBatchOnce(t, b)
		})
	}
}

// strikeOf is what happens while the line breaks: nothing, or, when the COMMIT is late, the next try of the batch waits for the lock that
// the first one still holds.
func strikeOf(t *testing.T, b *ledgertest.Books, at point) func() {
	if at != commitLate {
		return func() {}
	}
	return func() {
		for range pollsMax {
			var waiting int
			err := b.DB.Owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
			if err != nil || waiting > 0 {
				return
			}
			<-clock.System.After(2 * time.Millisecond)
		}
		t.Error("nobody tried the batch again while its COMMIT was late")
	}
}

// pollsMax bounds how often an event is looked for that nobody tells of.
const pollsMax = 5000

// waitFor waits for an event.
func waitFor(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-clock.System.After(60 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
}

// The worker process is killed at every point, by SIGKILL, with its tasks active in Redis. Another one finds and finishes them.
func TestWorkerThatIsKilledLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, at := range points {
		if at == commitLate {
			continue // a dead process has no connection; a COMMIT that it sent has arrived or not
		}
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, pgtest.New(t))
			b := ledgertest.OpenOn(t, s.db)
			ledgertest.Applied(t, b.Do(t, history()...)...)
			c := newCable(t, s.db.URL)
			first := s.startProcess(t, c.url())
			s.serves(t)
			struck := c.arm(at, first.kill)
			s.accept(t, batchOfAllKinds()...)
			waitFor(t, struck, "the worker to be killed")
			waitFor(t, first.exited, "the worker's end")
			second := s.startProcess(t, c.url())
			if _, err := b.Ledger.MakeAllDue(t.Context()); err != nil { // the relay's patience is not what is tested
				t.Fatal(err)
			}
			// The batch's nine, the history's three, and what follows: a transfer's arrival, an order to the channel and its answer.
			s.settled(t, 15)
			b.Expect(t, ledger.UserCash(person), "60.00")
			b.Expect(t, ledger.MerchantPayable("m1"), "72.50")
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
			b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-135.00")
			s.expectCount(t, 15, "SELECT count(*) FROM outcomes")
			s.expectCount(t, 1, "SELECT count(*) FROM pending WHERE state = 'parked'")
			second.stop(t)
		})
	}
}
