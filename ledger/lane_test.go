package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// lockBook holds a book, so that batches of it wait, until the returned function is called.
func lockBook(t *testing.T, db *pgtest.Database, book int) (unlock func()) {
	t.Helper()
	tx, err := db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM books WHERE book = $1 FOR UPDATE", book); err != nil {
		t.Fatal(err)
	}
	unlock = func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			t.Error(err)
		}
	}
	t.Cleanup(unlock)
	return unlock
}

// rewards accepts n rewards of one yuan for a user.
func rewards(t *testing.T, b *ledgertest.Books, user string, n int) []tasks.Receipt {
	t.Helper()
	payloads := make([]tasks.Payload, n)
	for i := range payloads {
		payloads[i] = ledgertest.Reward(fmt.Sprint(user, "-", i), user, "1.00")
	}
	return b.Accept(t, payloads...)
}

func withConfig(change func(*ledger.Config)) ledgertest.Option {
	return func(c *ledger.Config) { change(c) }
}

func TestFullLaneHoldsItsCallers(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t, withConfig(func(c *ledger.Config) { c.LaneDepthMax = 3 }))
	receipts := rewards(t, b, "u1", 10)
	book := receipts[0].Book
	unlock := lockBook(t, b.DB, book)
	var returned atomic.Int64
	var applying sync.WaitGroup
	apply := func(ctx context.Context, receipt tasks.Receipt) {
		applying.Go(func() {
			if _, err := b.Ledger.Apply(ctx, book, receipt.ID); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			returned.Add(1)
		})
	}
	apply(t.Context(), receipts[0])
	blocked(t, b.DB, 1)
	for _, receipt := range receipts[1:4] { // fill the lane
		apply(t.Context(), receipt)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for _, receipt := range receipts[4:] { // wait outside, and give up there
		apply(ctx, receipt)
	}
	cancel()
	eventually(t, "those outside have given up", func() bool { return returned.Load() >= 6 })
	unlock()
	applying.Wait()
	done := count(t, b.DB, "SELECT count(*) FROM outcomes")
	if done < 4 {
		t.Errorf("%d requests are applied, want at least the 4 that were not given up", done)
	}
	b.Expect(t, ledger.UserReward("u1"), fmt.Sprintf("%d.00", done))
}

// A ring of 500 requests is larger than a small lane: it is taken when the lane is empty.
func TestSubmissionLargerThanTheLaneIsTaken(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t, withConfig(func(c *ledger.Config) { c.LaneDepthMax, c.BatchMax = 3, 2 }))
	receipts := rewards(t, b, "u1", 40)
	var applying sync.WaitGroup
	for _, part := range [][]tasks.Receipt{receipts[:20], receipts[20:25], receipts[25:26], receipts[26:]} {
		applying.Go(func() {
			ids := make([]uuid.UUID, len(part))
			for i, receipt := range part {
				ids[i] = receipt.ID
			}
			answers, err := b.Ledger.Apply(t.Context(), receipts[0].Book, ids...)
			if err != nil || len(answers) != len(part) {
				t.Errorf("%d answers, %v", len(answers), err)
			}
		})
	}
	applying.Wait()
	b.Expect(t, ledger.UserReward("u1"), "40.00")
}

// Requests that wait while a batch commits share the next one: that is what makes the worker fast.
func TestRequestsThatWaitTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := rewards(t, b, "u1", 50)
	unlock := lockBook(t, b.DB, receipts[0].Book)
	var applying sync.WaitGroup
	apply := func(receipt tasks.Receipt) {
		applying.Go(func() {
			if _, err := b.Ledger.Apply(t.Context(), receipt.Book, receipt.ID); err != nil {
				t.Error(err)
			}
		})
	}
	apply(receipts[0])
	blocked(t, b.DB, 1)
	for _, receipt := range receipts[1:] {
		apply(receipt)
	}
	unlock()
	applying.Wait()
	if n := count(t, b.DB, "SELECT count(DISTINCT xmin::text) FROM outcomes"); n > 25 {
		t.Errorf("50 requests took %d transactions", n)
	}
	b.Expect(t, ledger.UserReward("u1"), "50.00")
}

// A suspect may end the process: it takes nobody with it.
func TestSuspectSharesItsTransactionWithNobody(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := rewards(t, b, "u1", 20)
	unlock := lockBook(t, b.DB, receipts[0].Book)
	var applying sync.WaitGroup
	for i, receipt := range receipts {
		applying.Go(func() {
			var err error
			if i == 10 {
				_, err = b.Ledger.ApplyAlone(t.Context(), tasks.Ring{Book: receipt.Book, Kind: receipt.Kind, IDs: []uuid.UUID{receipt.ID}})
			} else {
				_, err = b.Ledger.Apply(t.Context(), receipt.Book, receipt.ID)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	blocked(t, b.DB, 1)
	unlock()
	applying.Wait()
	if n := count(t, b.DB, "SELECT count(*) FROM outcomes o WHERE o.xmin = (SELECT xmin FROM outcomes WHERE request_id = $1)", receipts[10].ID); n != 1 {
		t.Errorf("the suspect shares its transaction with %d others", n-1)
	}
	b.Expect(t, ledger.UserReward("u1"), "20.00")
}

func TestClosedLedgerFinishesWhatItHasAndTakesNoMore(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := rewards(t, b, "u1", 30)
	var applying sync.WaitGroup
	var applied atomic.Int64
	for _, receipt := range receipts {
		applying.Go(func() {
			_, err := b.Ledger.Apply(t.Context(), receipt.Book, receipt.ID)
			switch {
			case err == nil:
				applied.Add(1)
			case !errors.Is(err, ledger.ErrClosed):
				t.Error(err)
			}
		})
	}
	b.Ledger.Close()
	applying.Wait()
	b.Expect(t, ledger.UserReward("u1"), fmt.Sprintf("%d.00", applied.Load()))
	if _, err := b.Ledger.Apply(t.Context(), 0, uuid.New()); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("error is %v, want ErrClosed", err)
	}
}

func TestContextThatEndedBeforeAppliesNothing(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := rewards(t, b, "u1", 1)
	unlock := lockBook(t, b.DB, receipts[0].Book)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	// The lane may take it before it is withdrawn; then it is applied, and its caller is told so.
	returned := make(chan error, 1)
	go func() {
		_, err := b.Ledger.Apply(ctx, receipts[0].Book, receipts[0].ID)
		returned <- err
	}()
	var err error
	select {
	case err = <-returned:
		unlock()
	case <-lockWaited(t, b.DB):
		unlock()
		err = <-returned
	}
	want := "1.00"
	if errors.Is(err, gone) {
		want = "0.00"
	} else if err != nil {
		t.Fatal(err)
	}
	b.Expect(t, ledger.UserReward("u1"), want)
}

// lockWaited is closed once a statement waits for a lock.
func lockWaited(t *testing.T, db *pgtest.Database) <-chan struct{} {
	waited := make(chan struct{})
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-t.Context().Done():
				return
			}
			var n int
			err := db.Owner.QueryRow(t.Context(), waitingSQL).Scan(&n)
			if err != nil {
				return
			}
			if n > 0 {
				close(waited)
				return
			}
		}
	}()
	return waited
}

func TestLedgerSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	empty := pgtest.New(t, pgtest.Books(0))
	if _, err := ledger.Open(t.Context(), empty.Pool, ledger.Config{}); !errors.Is(err, tasks.ErrNoBooks) {
		t.Errorf("error is %v, want ErrNoBooks", err)
	}
	db := pgtest.New(t)
	if _, err := ledger.Open(t.Context(), db.Pool, ledger.Config{Rules: append(rulesWith(), rulesWith()[0])}); err == nil {
		t.Error("two rules for one kind are taken")
	}
}

// The setting of a person counts from the next batch on, for every ledger, whatever policy it was opened under.
func TestPolicyThatChangesMidwayCountsFromTheNextBatch(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgers := []*ledgertest.Books{ledgertest.OpenOn(t, db), ledgertest.OpenOn(t, db)}
	pay := func(id string) tasks.Payload {
		return ledgertest.Payment("o"+id, "u1", ledgertest.Leg(tasks.SourceCash, "6.00"), ledgertest.Leg(tasks.SourceWeChat, "4.00"))
	}
	ledgertest.Applied(t, ledgers[0].Do(t, ledgertest.Recharge("r1", "u1", "100.00"), pay("1"), pay("2"), pay("3"))...)
	cash := "82.00"
	for i, c := range []struct {
		split tasks.RefundSplit
		cash  string
	}{{"", "84.40"}, {tasks.BalanceFirst, "88.40"}, {tasks.ExternalFirst, "88.40"}} {
		if c.split != "" {
			policy := tasks.DefaultPolicy()
			policy.RefundSplit = c.split
			if version, err := ledger.SetPolicy(t.Context(), db.Pool, policy, "ada"); err != nil || version != i {
				t.Fatalf("version %d, %v", version, err)
			}
		}
		for _, b := range ledgers {
			b.Expect(t, ledger.UserCash("u1"), cash)
			cash = c.cash
			ledgertest.Applied(t, b.Do(t, ledgertest.Refund(fmt.Sprint("rf", i), fmt.Sprint("o", i+1), "u1", "4.00"))...)
		}
	}
	if policy, version, err := ledgers[0].Reader.Policy(t.Context()); err != nil || version != 2 || policy.RefundSplit != tasks.ExternalFirst {
		t.Errorf("policy is %+v, version %d, %v", policy, version, err)
	}
}

func TestPolicyThatCannotCountIsNotSet(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	policy := tasks.DefaultPolicy()
	policy.SweepUsersMax = 0
	var refused *tasks.FieldError
	if _, err := ledger.SetPolicy(t.Context(), b.DB.Pool, policy, "ada"); !errors.As(err, &refused) || refused.Field != "sweep_users_max" {
		t.Errorf("error is %v, want a *FieldError", err)
	}
	if _, version, err := b.Reader.Policy(t.Context()); err != nil || version != 0 {
		t.Errorf("version %d, %v", version, err)
	}
}

// Callers give up at any moment. Whoever was told that nothing was done finds nothing done later, and no connection stays taken.
func TestCallersWhoGiveUpAtAnyMomentAreToldTheTruth(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := rewards(t, b, "u1", 150)
	gone := make([]bool, len(receipts))
	var applying sync.WaitGroup
	for i, receipt := range receipts {
		applying.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(20_000))*time.Microsecond)
			defer cancel()
			answers, err := b.Ledger.Apply(ctx, receipt.Book, receipt.ID)
			gone[i] = errors.Is(err, context.DeadlineExceeded)
			if err == nil && answers[0].Fate != ledger.Decided || err != nil && !gone[i] {
				t.Errorf("%+v, %v", answers, err)
			}
		})
	}
	applying.Wait()
	for i, receipt := range receipts {
		decided := count(t, b.DB, "SELECT count(*) FROM outcomes WHERE request_id = $1", receipt.ID) == 1
		if decided == gone[i] {
			t.Errorf("%s: its caller was sent away: %t, it is decided: %t", receipt.Key, gone[i], decided)
		}
	}
	if n := b.DB.Pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are still taken", n)
	}
	ledgertest.Applied(t, b.Apply(t, receipts...)...)
	b.Expect(t, ledger.UserReward("u1"), "150.00")
}
