package worker

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
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
)

// stack is everything that a worker needs, each part real and the test's own. The books are audited when the test ends.
type stack struct {
	db      *pgtest.Database
	pool    *pgxpool.Pool
	server  *devstack.Redis
	redis   *redis.Client
	client  *tasks.Client
	ledger  *ledger.Ledger
	reader  *ledger.Reader
	channel *channel.Simulator
}

type stackOption func(*stackSettings)

type stackSettings struct {
	db      *pgtest.Database
	rules   []ledger.Rule
	ledger  ledger.Config
	client  tasks.ClientConfig
	channel channel.SimulatorConfig
	// redis is the stack's client; the default is one to a server of its own.
	redis *redis.Client
	// lockTimeout is how long the books are waited for; the pools' default is 10 s, four times.
	lockTimeout string
}

func withRules(rules ...ledger.Rule) stackOption {
	return func(s *stackSettings) { s.rules = rules }
}

func newStack(t *testing.T, options ...stackOption) *stack {
	t.Helper()
	settings := stackSettings{rules: rules.All(), client: tasks.ClientConfig{Producer: "test"}}
	for _, option := range options {
		option(&settings)
	}
	s := &stack{db: settings.db, server: redistest.New(t), channel: channel.NewSimulator(settings.channel)}
	if s.db == nil {
		s.db = pgtest.New(t)
	}
	ledgertest.Audit(t, s.db)
	s.pool = s.db.Pool
	if settings.lockTimeout != "" {
		s.pool = impatientPool(t, s.db.URL, settings.lockTimeout)
	}
	s.reader = ledger.NewReader(s.pool)
	if s.redis = settings.redis; s.redis == nil {
		s.redis = openRedis(t, s.server)
	}
	var err error
	if s.client, err = tasks.NewClient(t.Context(), s.pool, tasks.NewDoorbell(s.redis), settings.client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	settings.ledger.Rules, settings.ledger.Ring = settings.rules, RingThrough(s.client)
	if s.ledger, err = ledger.Open(t.Context(), s.pool, settings.ledger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.ledger.Close)
	return s
}

func impatientPool(t *testing.T, databaseURL, lockTimeout string) *pgxpool.Pool {
	t.Helper()
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	query.Set("lock_timeout", lockTimeout)
	parsed.RawQuery = query.Encode()
	pool, err := postgres.Open(t.Context(), parsed.String(), postgres.MaxConns(8))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func openRedis(t *testing.T, server *devstack.Redis) *redis.Client {
	t.Helper()
	options, err := RedisOptions(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := OpenRedis(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newWorker makes a worker over the stack that serves every queue with one server, unless change says otherwise.
func (s *stack) newWorker(t *testing.T, change func(*Config)) *Worker {
	t.Helper()
	refunders := map[tasks.Source]channel.Refunder{}
	for _, source := range tasks.Channels() {
		refunders[source] = s.channel
	}
	config := Config{Ledger: s.ledger, Client: s.client, Pool: s.pool, Redis: s.redis, Refunders: refunders,
		Servers:       map[tasks.Queue]int{tasks.Critical: 1, tasks.Refunds: 1, tasks.Sweeps: 1, tasks.Low: 1},
		RelayInterval: 50 * time.Millisecond, Registerer: prometheus.NewPedanticRegistry(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if change != nil {
		change(&config)
	}
	w, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// startWorker starts a worker that is shut down when the test ends.
func (s *stack) startWorker(t *testing.T, change func(*Config)) *Worker {
	t.Helper()
	w := s.newWorker(t, change)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopWorker(t, w) })
	return w
}

func stopWorker(t *testing.T, w *Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Error(err)
	}
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
			t.Fatal(item.Err)
		}
		receipts[i] = item.Receipt
	}
	return receipts
}

// pending counts requests without an outcome.
func (s *stack) pending(t *testing.T) int {
	t.Helper()
	return s.count(t, "SELECT count(*) FROM pending")
}

func (s *stack) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := s.db.Pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
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

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, clock.Shanghai)

func fen(n int64) money.Amount { return money.FromFen(n) }

func recharge(id, user string, n int64) *tasks.Recharge {
	return &tasks.Recharge{RechargeID: id, UserID: user, Channel: tasks.SourceWeChat, ChannelTxnID: "txn-" + id,
		Amount: fen(n), OccurredAt: noon}
}

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))
