package proof_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// recharges are n recharges of one yuan for each of some users.
func recharges(prefix string, n, users int) []tasks.Payload {
	payloads := make([]tasks.Payload, n)
	for i := range payloads {
		payloads[i] = ledgertest.Recharge(fmt.Sprint(prefix, i), fmt.Sprint("u", i%users), "1.00")
	}
	return payloads
}

// expectRecharged fails the test unless every user has got so many yuan, by so many transfers.
func (s *stack) expectRecharged(t *testing.T, n, users int) {
	t.Helper()
	for i := range users {
		s.expectBalance(t, ledger.UserCash(fmt.Sprint("u", i)), fmt.Sprintf("%d.00", n/users))
	}
	s.expectCount(t, n, "SELECT count(*) FROM transfers")
	s.expectCount(t, n, "SELECT count(*) FROM outcomes WHERE result = 'applied' AND transfers = 1")
}

// Two workers hold the same requests at the same moment, and each is told several times.
func TestSameRequestTwiceAtOnceInTwoWorkersIsAppliedOnce(t *testing.T) {
	t.Parallel()
	const n, users = 300, 10
	s := newStack(t, pgtest.New(t))
	s.startTwoWorkers(t)
	receipts := s.accept(t, recharges("r", n, users)...)
	bells := make([]tasks.Bell, len(receipts))
	for i, receipt := range receipts {
		bells[i] = tasks.Bell{Kind: receipt.Kind, Book: receipt.Book, ID: receipt.ID}
	}
	bell := tasks.NewDoorbell(s.redis)
	var ringing sync.WaitGroup
	for _, size := range []int{1, 1, 7, 50, 500} {
		ringing.Go(func() {
			if err := bell.Ring(t.Context(), bells, size, false); err != nil {
				t.Error(err)
			}
		})
	}
	ringing.Wait()
	s.settled(t, n)
	eventually(t, "all rings are served", func() bool { return s.queued(t) == queueSizes{} })
	s.expectRecharged(t, n, users)
}

// queueSizes is how many tasks are in each state, over all queues.
type queueSizes struct{ pending, active, retry, scheduled, archived int }

func (s *stack) queued(t *testing.T) (sizes queueSizes) {
	t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(s.redis)
	queues, err := inspector.Queues()
	if err != nil {
		t.Fatal(err)
	}
	for _, queue := range queues {
		info, err := inspector.GetQueueInfo(queue)
		if err != nil {
			t.Fatal(err)
		}
		sizes.pending += info.Pending
		sizes.active += info.Active
		sizes.retry += info.Retry
		sizes.scheduled += info.Scheduled
		sizes.archived += info.Archived
	}
	return sizes
}

// shyChannel does not answer before it is told to.
type shyChannel struct {
	channel.Refunder
	answers atomic.Bool
}

var errShy = errors.New("the channel does not answer")

func (c *shyChannel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	if !c.answers.Load() {
		return channel.RefundAnswer{}, errShy
	}
	return c.Refunder.Refund(ctx, order)
}

func (c *shyChannel) Query(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	if !c.answers.Load() {
		return channel.RefundAnswer{}, errShy
	}
	return c.Refunder.Query(ctx, order)
}

// Redis is wiped while tasks wait, are worked on, and are to be retried. Every accepted request is applied, once.
func TestRedisWipedWithTasksPendingActiveAndRetryingLosesNothing(t *testing.T) {
	t.Parallel()
	const n, users = 120, 4
	s := newStack(t, pgtest.New(t, pgtest.MaxConns(12)))
	shy := &shyChannel{Refunder: channel.NewSimulator(channel.SimulatorConfig{})}
	s.startWorker(t, s.db.Pool, func(c *worker.Config) {
		c.Concurrency = 8
		for source := range c.Refunders {
			c.Refunders[source] = shy
		}
	})
	// Retrying: a channel that does not answer.
	s.accept(t, ledgertest.Payment("o1", "v1", ledgertest.Leg(tasks.SourceAlipay, "9.00")), ledgertest.Refund("f1", "o1", "v1", "9.00"))
	eventually(t, "the channel's refund is retried", func() bool { return s.queued(t).retry > 0 })
	// Active: the books are locked. Pending: more than the worker takes at once.
	unlock := s.lockBooks(t)
	for _, payload := range recharges("r", n, users) {
		if _, err := s.client.Enqueue(t.Context(), payload); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "tasks are pending, active and retrying", func() bool {
		sizes := s.queued(t)
		return sizes.pending > 0 && sizes.active > 0 && sizes.retry > 0
	})
	if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	shy.answers.Store(true)
	unlock()
	s.settled(t, n+4) // the payment, its refund, the order to the channel and its answer
	for i := range users {
		s.expectBalance(t, ledger.UserCash(fmt.Sprint("u", i)), fmt.Sprintf("%d.00", n/users))
	}
	s.expectBalance(t, ledger.ChannelRefunding(tasks.SourceAlipay), "0.00")
	s.expectBalance(t, ledger.ChannelClearing(tasks.SourceAlipay), "0.00")
	s.expectCount(t, n+4, "SELECT count(*) FROM outcomes WHERE result = 'applied'")
	s.expectCount(t, n+3, "SELECT count(*) FROM transfers")
}

// lockBooks holds every book until the returned function is called.
func (s *stack) lockBooks(t *testing.T) (unlock func()) {
	t.Helper()
	tx, err := s.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM books FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	unlock = func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }
	t.Cleanup(unlock)
	return unlock
}

// PostgreSQL crashes twice under load. Producers ask again with the same keys until they are answered; what was acknowledged is
// there, and everything is applied once.
func TestPostgresThatCrashesUnderLoadLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	const producers, each = 8, 60
	server, db := pgtest.NewPrivate(t)
	s := newStack(t, db)
	s.startWorker(t, db.Pool, nil)
	var asked, acknowledged atomic.Int64
	var producing sync.WaitGroup
	for producer := range producers {
		producing.Go(func() {
			for i := range each {
				payload := ledgertest.Recharge(fmt.Sprintf("r%d-%d", producer, i), fmt.Sprint("u", producer), "1.00")
				for {
					asked.Add(1)
					if _, err := s.client.Enqueue(t.Context(), payload); err == nil {
						break
					} else if t.Context().Err() != nil || !postgres.IsConnection(err) {
						t.Errorf("%s: %v", payload.RechargeID, err)
						return
					}
					<-clock.System.After(20 * time.Millisecond)
				}
				acknowledged.Add(1)
			}
		})
	}
	for part := range 2 {
		eventually(t, "a part is acknowledged", func() bool { return acknowledged.Load() > int64((part+1)*producers*each/4) })
		if err := server.Restart(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	producing.Wait()
	s.settled(t, producers*each)
	s.expectRecharged(t, producers*each, producers)
	s.expectCount(t, producers*each, "SELECT count(*) FROM requests")
	if asked.Load() == producers*each {
		t.Error("no producer noticed the crashes: they prove nothing")
	}
}
