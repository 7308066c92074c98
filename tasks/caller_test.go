package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/tasks"
)

// held holds the key of a reward in a transaction that is not ended, so that who inserts the same key waits.
func (d *desk) held(t *testing.T, key string) pgx.Tx {
	t.Helper()
	tx, err := d.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	if _, err := tx.Exec(t.Context(), `INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
VALUES (0, $1, 'reward:grant', $2, '{}', 'holder', now(), now())`, uuid.New(), key); err != nil {
		t.Fatal(err)
	}
	return tx
}

// blocked waits until n statements wait for a lock.
func (d *desk) blocked(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " statements wait"), func() bool {
		return d.count(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == n
	})
}

func TestCallerWhoGivesUpWhileWaitingHasAskedForNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	holder := d.held(t, "busy")
	gaveUp := errors.New("gave up")
	type answer struct {
		receipt tasks.Receipt
		err     error
	}
	// Two inserts may run at once: both are made to wait, each with one caller inside.
	inside := make(chan answer, 2)
	for i := range 2 {
		go func() {
			receipt, err := d.client.Enqueue(t.Context(), reward("busy", "u1", "1.00"))
			inside <- answer{receipt, err}
		}()
		d.blocked(t, i+1)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	waiting := make(chan answer, 10)
	for i := range 10 {
		go func() {
			receipt, err := d.client.Enqueue(ctx, reward(fmt.Sprint("late", i), "u1", "1.00"))
			waiting <- answer{receipt, err}
		}()
	}
	cancel(gaveUp)
	for range 10 {
		if got := <-waiting; !errors.Is(got.err, gaveUp) {
			t.Errorf("%+v, %v", got.receipt, got.err)
		}
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-inside; got.err != nil {
			t.Error(got.err)
		}
	}
	d.expectStored(t, 1)
}

func TestCallerWhoGivesUpDuringTheCommitLearnsWhatCameOfIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	holder := d.held(t, "busy")
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan tasks.Receipt, 1)
	go func() {
		receipt, err := d.client.Enqueue(ctx, reward("busy", "u1", "1.00"))
		if err != nil {
			t.Errorf("the request was committed, and its caller is told: %v", err)
		}
		returned <- receipt
	}()
	d.blocked(t, 1)
	cancel()
	select {
	case receipt := <-returned:
		t.Errorf("returned %+v before the commit was decided", receipt)
	default:
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if receipt := <-returned; receipt.Status != tasks.Accepted {
		t.Errorf("receipt is %+v", receipt)
	}
	d.expectStored(t, 1)
}

func TestCallerWithoutADeadlineIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{AnswerWithin: time.Nanosecond}) // it bounds calls, not the opening
	holder := d.held(t, "busy")
	if _, err := d.client.Enqueue(t.Context(), reward("busy", "u1", "1.00")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A PostgreSQL that takes a statement and says nothing is one that is away: its producers are to be told so in time.
func TestCallerWhoseTimeIsUpDuringTheCommitIsNotKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	holder := d.held(t, "busy")
	ctx, cancel := context.WithCancelCause(t.Context())
	returned := make(chan error, 1)
	go func() {
		_, err := d.client.Enqueue(ctx, reward("busy", "u1", "1.00"))
		returned <- err
	}()
	d.blocked(t, 1)
	cancel(context.DeadlineExceeded)
	if err := <-returned; !errors.Is(err, context.DeadlineExceeded) { // while the key is still held
		t.Errorf("%v", err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := d.client.Enqueue(t.Context(), reward("busy", "u1", "1.00")); err != nil || again.Key != "busy" {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	d.expectStored(t, 1)
}

func TestClosedClientFinishesWhatItHasAndTakesNoMore(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil, tasks.ClientConfig{})
	var asking sync.WaitGroup
	var stored atomic.Int64
	for i := range 32 {
		asking.Go(func() {
			_, err := d.client.Enqueue(t.Context(), reward(fmt.Sprint("r", i), "u1", "1.00"))
			switch {
			case err == nil:
				stored.Add(1)
			case !errors.Is(err, tasks.ErrClientClosed):
				t.Error(err)
			}
		})
	}
	d.client.Close()
	asking.Wait()
	if _, err := d.client.Enqueue(t.Context(), reward("late", "u1", "1.00")); !errors.Is(err, tasks.ErrClientClosed) {
		t.Errorf("error is %v, want ErrClientClosed", err)
	}
	d.expectStored(t, int(stored.Load()))
}

func TestEachCommitIsToldWithItsRequests(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told, commits int
	d := newDesk(t, nil, tasks.ClientConfig{OnCommit: func(requests int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		told, commits = told+requests, commits+1
		if took <= 0 {
			t.Errorf("a commit took %s", took)
		}
	}})
	const asked = 50
	var asking sync.WaitGroup
	for i := range asked {
		asking.Go(func() {
			if _, err := d.client.Enqueue(t.Context(), reward(fmt.Sprintf("r%d", i+1), "u1", "1.00")); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if _, err := d.client.Enqueue(t.Context(), reward("r0", "u1", "-1.00")); err == nil {
		t.Error("a negative reward is accepted")
	}
	mu.Lock()
	defer mu.Unlock()
	if told != asked || commits < 1 || commits > asked {
		t.Errorf("told of %d requests in %d commits, want %d in as many or fewer", told, commits, asked)
	}
}

// Without an answer from a synchronous standby a commit waits, and is there for everybody to read once the wait is cut short.
func TestReplayIsNotAnsweredBeforeTheStandbyHasTheRequest(t *testing.T) {
	t.Parallel()
	_, db := pgtest.NewPrivate(t)
	d := &desk{db: db, client: newClient(t, db, nil, tasks.ClientConfig{AnswerWithin: 200 * time.Millisecond})}
	awaitStandby := func(name string) {
		t.Helper()
		ctx := context.WithoutCancel(t.Context())
		if _, err := db.Owner.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Owner.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the setting counts", func() bool {
			return d.count(t, "SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = $1", name) == 1
		})
	}
	awaitStandby("nobody")
	defer awaitStandby("")
	if _, err := d.client.Enqueue(t.Context(), reward("r1", "u1", "1.00")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a commit that nobody has confirmed: %v", err)
	}
	waiting := func() int {
		return d.count(t, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	}
	eventually(t, "the wait is cut short, and the request is there", func() bool {
		waiting()
		return d.count(t, "SELECT count(*) FROM requests WHERE key = 'r1'") == 1
	})
	if receipt, err := d.client.Enqueue(t.Context(), reward("r1", "u1", "1.00")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked again, it is %s: %v", receipt.Status, err)
	}
	eventually(t, "nobody waits any more", func() bool { return waiting() == 0 })
}
