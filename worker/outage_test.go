package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/tasks"
)

func TestPostgresRestartedUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	s := newStack(t, withRings(1), func(s *stackSettings) { s.db = db })
	const requests = 400
	s.accept(t, manyRecharges(requests)...)
	s.startWorker(t, func(c *Config) { c.Concurrency = 20 })
	for _, immediate := range []bool{true, false} {
		eventually(t, "work is under way", func() bool { return s.decidedSoFar(t) > 0 })
		if err := server.Restart(t.Context(), immediate); err != nil {
			t.Fatal(err)
		}
	}
	s.eventuallyDecided(t, requests)
}

// decidedSoFar counts the outcomes, or 0 while PostgreSQL is away.
func (s *stack) decidedSoFar(t *testing.T) int {
	t.Helper()
	var n int
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM outcomes").Scan(&n); err != nil {
		return 0
	}
	return n
}

// eventuallyDecided waits until all requests are applied, none refused and none dead.
func (s *stack) eventuallyDecided(t *testing.T, requests int) {
	t.Helper()
	eventually(t, "all are decided", func() bool { return s.decidedSoFar(t) == requests })
	if got := s.count(t, "SELECT count(*) FROM outcomes WHERE result = 'applied' AND transfers = 1"); got != requests {
		t.Errorf("%d requests were applied, want %d", got, requests)
	}
	if got := s.pending(t); got != 0 {
		t.Errorf("%d requests are pending, want none", got)
	}
}

func TestOutageBeyondEveryRetryRefusesAndKillsNothing(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	s := newStack(t, withRings(1), func(s *stackSettings) { s.db = db })
	receipts := s.accept(t, manyRecharges(20)...)
	eventually(t, "all have rung", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == 20 })
	w := s.newWorker(t, func(c *Config) { c.StartsMax = 2 })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	// The last delivery of a task, again and again, while PostgreSQL is away: what asynq would archive.
	ring := ringOf(receipts[:1])
	ring.Again = true
	task, err := ring.Task()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := w.observer.guarded(ctx, &delivery{taskType: string(ring.Kind), retried: 25, retriesMax: 25}, task.Payload())
		cancel()
		if became := classOf(err); treatments[became].ends {
			t.Fatalf("a task ended as %s: %v", became, err)
		}
	}
	if err := server.Restart(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopWorker(t, w) })
	s.eventuallyDecided(t, 20)
}

func TestRedisRestartedUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	s.startWorker(t, nil)
	const rounds, perRound = 4, 50
	for round := range rounds {
		var payloads []tasks.Payload
		for i := range perRound {
			payloads = append(payloads, recharge(fmt.Sprintf("r%d-%d", round, i), fmt.Sprintf("u%d", i), 100))
		}
		s.accept(t, payloads...)
		if err := s.server.Restart(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	s.eventuallyDecided(t, rounds*perRound)
}

func TestTwoWorkersApplyEachRequestOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	s.startWorker(t, nil)
	s.startWorker(t, nil)
	payloads := manyRecharges(150)
	receipts := s.accept(t, payloads...)
	bells := make([]tasks.Bell, len(receipts))
	for i, receipt := range receipts {
		bells[i] = tasks.Bell{Kind: receipt.Kind, Book: receipt.Book, ID: receipt.ID}
	}
	// Every ring twice more, in other groups: the same request is in two workers at once.
	for _, size := range []int{1, 7} {
		if err := tasks.NewDoorbell(s.redis).Ring(t.Context(), bells, size, size == 7); err != nil {
			t.Fatal(err)
		}
	}
	s.eventuallyDecided(t, len(payloads))
	eventually(t, "no task is left", func() bool { return len(s.redis.Keys(t.Context(), "asynq:{critical}:t:*").Val()) == 0 })
	if got := s.count(t, "SELECT count(*) FROM transfers"); got != len(payloads) {
		t.Errorf("%d transfers were made, want %d", got, len(payloads))
	}
}
