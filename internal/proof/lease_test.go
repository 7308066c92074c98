package proof_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// serves waits until the stack's first worker serves.
func (s *stack) serves(t *testing.T) {
	t.Helper()
	eventually(t, "the worker serves", func() bool {
		epoch := s.redis.Get(t.Context(), "settled:epoch").Val()
		return epoch != "" && epoch != "starting"
	})
}

// endLeases lets the leases of all active tasks end, as half a minute without a heartbeat does, and says of how many.
func (s *stack) endLeases(t *testing.T) (ended int) {
	t.Helper()
	for _, queue := range tasks.Queues() {
		key := "asynq:{" + string(queue) + "}:lease"
		held, err := s.redis.ZRange(t.Context(), key, 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range held {
			if err := s.redis.ZAddXX(t.Context(), key, redis.Z{Member: id}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		ended += len(held)
	}
	return ended
}

// decidedAs waits until the batch of all kinds, its history, and what follows from them are decided. The relay's patience is not what is
// tested.
func (s *stack) decidedAs(t *testing.T, b *ledgertest.Books, n int) {
	t.Helper()
	looks := 0
	eventually(t, "everything is decided", func() bool {
		if looks++; looks%100 == 1 {
			if _, err := b.Ledger.MakeAllDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return s.count(t, "SELECT count(*) FROM outcomes") >= n && s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted'") == 0
	})
}

// A worker is frozen with its tasks in hand, longer than it holds its leases and its locks. Another one is given the same tasks and
// finishes them. Thawed, the first goes on where it stood, and changes nothing.
func TestWorkerThatIsFrozenPastItsLeaseDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, at := range []point{lockUnanswered, beforeWrite, commitUnanswered, afterCommit} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, pgtest.New(t))
			b := ledgertest.OpenOn(t, s.db)
			ledgertest.Applied(t, b.Do(t, history()...)...)
			c := newCable(t, s.db.URL)
			c.holds = true
			frozen, thawed := make(chan struct{}), make(chan struct{})
			thaw := sync.OnceFunc(func() { close(thawed) })
			t.Cleanup(thaw)
			first := s.startProcess(t, c.url()+"&idle_in_transaction_session_timeout=300") // a minute, unless the URL says otherwise
			s.serves(t)
			struck := c.arm(at, func() {
				first.signal(t, syscall.SIGSTOP)
				close(frozen)
				<-thawed
			})
			s.accept(t, batchOfAllKinds()...)
			waitFor(t, frozen, "the worker to be frozen")
			if s.endLeases(t) == 0 {
				t.Error("the frozen worker holds no lease: it proves nothing")
			}
			second := s.startProcess(t, s.db.URL)
			s.decidedAs(t, b, 15) // the batch's nine, the history's three, a transfer's arrival, an order to the channel and its answer
			outcomes := s.outcomes(t)
			first.signal(t, syscall.SIGCONT)
			thaw()
			waitFor(t, struck, "the line to let go")
			first.stop(t)
			second.stop(t)
			if after := s.outcomes(t); after != outcomes {
				t.Errorf("the thawed worker has changed outcomes from\n%s\nto\n%s", outcomes, after)
			}
			b.Expect(t, ledger.UserCash(person), "60.00")
			b.Expect(t, ledger.MerchantPayable("m1"), "72.50")
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
			b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-135.00")
			s.expectCount(t, 15, "SELECT count(*) FROM outcomes")
		})
	}
}

// outcomes are all outcomes as one text.
func (s *stack) outcomes(t *testing.T) (text string) {
	t.Helper()
	if err := s.db.Owner.QueryRow(t.Context(), "SELECT string_agg(o::text, E'\n' ORDER BY o.book, o.request_id) FROM outcomes o").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// The worker dies with a task at its last attempt. asynq puts such a task into its archive, where nobody takes it out, though nothing has
// failed. Its requests are applied all the same.
func TestWorkerThatIsKilledAtTheLastAttemptOfATaskLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t, pgtest.New(t))
	b := ledgertest.OpenOn(t, s.db)
	c := newCable(t, s.db.URL)
	first := s.startProcess(t, c.url())
	s.serves(t)
	silent, err := tasks.NewClient(t.Context(), s.db.Pool, nil, tasks.ClientConfig{Producer: "silent", RingAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(silent.Close)
	receipt, err := silent.Enqueue(t.Context(), ledgertest.Recharge("r1", "u1", "7.00"))
	if err != nil {
		t.Fatal(err)
	}
	task, err := tasks.Ring{Kind: receipt.Kind, Book: receipt.Book, IDs: []uuid.UUID{receipt.ID}}.Task()
	if err != nil {
		t.Fatal(err)
	}
	struck := c.arm(commitUnsent, first.kill)
	if _, err := asynq.NewClientFromRedisClient(s.redis).EnqueueContext(t.Context(), task, asynq.MaxRetry(0)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, struck, "the worker to be killed")
	s.endLeases(t)
	second := s.startProcess(t, s.db.URL)
	eventually(t, "asynq archives the task", func() bool { return s.queued(t).archived == 1 })
	s.expectCount(t, 0, "SELECT count(*) FROM outcomes")
	s.decidedAs(t, b, 1)
	b.Expect(t, ledger.UserCash("u1"), "7.00")
	s.expectCount(t, 1, "SELECT count(*) FROM transfers")
	second.stop(t)
}
