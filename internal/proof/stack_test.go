package proof_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// stack is a database, a Redis and a producer. Its books are audited at the end of the test.
type stack struct {
	db     *pgtest.Database
	server *devstack.Redis
	redis  *redis.Client
	client *tasks.Client
}

// ringAfter makes the relay look after lost rings at once: what it waits for in production is the patience of an idle worker.
const ringAfter = 300 * time.Millisecond

func newStack(t *testing.T, db *pgtest.Database) *stack {
	t.Helper()
	ledgertest.Audit(t, db)
	s := &stack{db: db, server: redistest.New(t)}
	s.redis = s.openRedis(t)
	var err error
	s.client, err = tasks.NewClient(t.Context(), db.Pool, tasks.NewDoorbell(s.redis), tasks.ClientConfig{Producer: "proof", RingAfter: ringAfter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

func (s *stack) openRedis(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.PoolSize = 40
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// startWorker starts a worker with a ledger of its own over a pool. It is shut down when the test ends.
func (s *stack) startWorker(t *testing.T, pool *pgxpool.Pool, change func(*worker.Config)) *worker.Worker {
	t.Helper()
	client, err := tasks.NewClient(t.Context(), pool, tasks.NewDoorbell(s.redis), tasks.ClientConfig{Producer: "worker", RingAfter: ringAfter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	l, err := ledger.Open(t.Context(), pool, ledger.Config{Rules: rules.All(), Ring: worker.RingThrough(client), RingAfter: ringAfter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	simulator := channel.NewSimulator(channel.SimulatorConfig{})
	refunders := map[tasks.Source]channel.Refunder{}
	for _, source := range tasks.Channels() {
		refunders[source] = simulator
	}
	config := worker.Config{Ledger: l, Client: client, Pool: pool, Redis: s.openRedis(t), Refunders: refunders, Concurrency: 16,
		Servers:       map[tasks.Queue]int{tasks.Critical: 1, tasks.Refunds: 1, tasks.Sweeps: 1, tasks.Low: 1},
		RelayInterval: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&config)
	}
	w, err := worker.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

// accept accepts requests and rings for them.
func (s *stack) accept(t *testing.T, payloads ...tasks.Payload) []tasks.Receipt {
	t.Helper()
	items, err := s.client.EnqueueMany(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	receipts := make([]tasks.Receipt, len(items))
	for i, item := range items {
		if item.Err != nil {
			t.Fatalf("%+v: %v", payloads[i], item.Err)
		}
		receipts[i] = item.Receipt
	}
	return receipts
}

// count asks the database, as its owner, for a number; -1 while it is away.
func (s *stack) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := s.db.Owner.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Logf("%s: %v", sql, err)
		return -1
	}
	return n
}

// expectCount fails the test unless a query counts n.
func (s *stack) expectCount(t *testing.T, n int, sql string, args ...any) {
	t.Helper()
	if got := s.count(t, sql, args...); got != n {
		t.Errorf("%d, want %d: %s", got, n, sql)
	}
}

// settled waits until n requests have outcomes and nothing is due.
func (s *stack) settled(t *testing.T, n int) {
	t.Helper()
	eventually(t, "everything is decided", func() bool {
		return s.count(t, "SELECT count(*) FROM outcomes") >= n && s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted'") == 0
	})
}

func (s *stack) balance(t *testing.T, name ledger.AccountName) money.Amount {
	t.Helper()
	return money.FromFen(int64(s.count(t, "SELECT coalesce(sum(balance_fen), 0) FROM accounts WHERE name = $1", string(name))))
}

// expectBalance fails the test unless an account holds the yuan amount, over all books.
func (s *stack) expectBalance(t *testing.T, name ledger.AccountName, yuan string) {
	t.Helper()
	if got := s.balance(t, name); got.String() != yuan {
		t.Errorf("%s holds %s, want %s", name, got, yuan)
	}
}

// idsOf are the ids of requests that must be of one book.
func idsOf(t *testing.T, receipts []tasks.Receipt) (book int, ids []uuid.UUID) {
	t.Helper()
	for _, receipt := range receipts {
		if receipt.Book != receipts[0].Book {
			t.Fatalf("requests of books %d and %d", receipts[0].Book, receipt.Book)
		}
		ids = append(ids, receipt.ID)
	}
	return receipts[0].Book, ids
}

// startTwoWorkers starts two workers, each with connections of its own.
func (s *stack) startTwoWorkers(t *testing.T) {
	t.Helper()
	for range 2 {
		pool, err := postgres.Open(t.Context(), s.db.URL, postgres.MaxConns(6))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		s.startWorker(t, pool, nil)
	}
}

// eventually waits until done says so. It asks often, because nothing tells it when.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	const patience = 60 * time.Second
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := clock.System.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within %s", what, patience)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}
