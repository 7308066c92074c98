package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/tasks"
)

func TestAcceptedRequestsAreApplied(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startWorker(t, nil)
	var payloads []tasks.Payload
	for i := range 200 {
		payloads = append(payloads, recharge(fmt.Sprintf("r%d", i), fmt.Sprintf("u%d", i%20), 100))
	}
	s.accept(t, payloads...)
	for i := range 20 {
		if _, err := s.client.Enqueue(t.Context(), recharge(fmt.Sprintf("s%d", i), fmt.Sprintf("u%d", i), 100)); err != nil {
			t.Fatal(err)
		}
	}
	s.eventuallyDecided(t, 220)
}

func TestFollowUpsAndWokenRequestsAreRungAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(s *stackSettings) { s.ledger.RingAfter = time.Hour })
	s.startWorker(t, func(c *Config) { c.RelayInterval = -1 })
	s.accept(t, &tasks.Refund{RefundID: "f1", OrderID: "o1", UserID: "u1", Amount: fen(500), OccurredAt: noon})
	eventually(t, "the refund is parked", func() bool { return s.count(t, "SELECT count(*) FROM pending WHERE state = 'parked'") == 1 })
	s.accept(t, &tasks.Payment{OrderID: "o1", UserID: "u1", MerchantID: "m1", OccurredAt: noon,
		Legs: []tasks.Leg{{Source: tasks.SourceWeChat, Amount: fen(500), ChannelTxnID: "txn1"}}})
	eventually(t, "the refund is woken, sent and answered", func() bool { return s.outcomesOf(t, tasks.RefundAnswer) == 1 && s.pending(t) == 0 })
}

func TestShutdownUnderLoadWritesNothingAfterwardsAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	const requests = 500
	s.accept(t, manyRecharges(requests)...)
	for range 4 {
		w := s.startWorker(t, func(c *Config) { c.Concurrency = 10 })
		before := s.pending(t)
		eventually(t, "work is under way", func() bool { return before == 0 || s.pending(t) < before })
		stopWorker(t, w)
		if err := w.Ready(t.Context()); err == nil {
			t.Error("a worker that has stopped says it is ready")
		}
		after := s.count(t, "SELECT count(*) FROM outcomes")
		if w.observer.inFlight.Wait(); s.count(t, "SELECT count(*) FROM outcomes") != after {
			t.Error("outcomes were written after the worker had stopped")
		}
		if active := s.redis.LLen(t.Context(), "asynq:{critical}:active").Val(); active != 0 {
			t.Errorf("%d tasks are left active: they would lie for a minute", active)
		}
	}
	s.startWorker(t, nil)
	s.eventuallyDecided(t, requests)
}

func TestShutdownGivesBackWhatDoesNotEndAndSaysSo(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	s.accept(t, manyRecharges(4)...)
	eventually(t, "all have rung", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == 4 })
	unlock := lockBooks(t, s)
	w := s.newWorker(t, func(c *Config) { c.ShutdownTimeout, c.RelayInterval = time.Second, -1 })
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are under way", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:active").Val() == 4 })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := w.Shutdown(ctx); !errors.Is(err, errStillRunning) {
		t.Errorf("Shutdown returned %v, want that handlers are running", err)
	}
	if got := s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val(); got != 4 {
		t.Errorf("%d tasks were given back, want 4", got)
	}
	unlock()
	w.observer.inFlight.Wait()
	s.startWorker(t, nil)
	s.eventuallyDecided(t, 4)
}

func TestShutdownBeforeStartAndTwice(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.newWorker(t, nil)
	for range 2 {
		if err := w.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := w.Start(); err == nil {
		t.Error("a worker that was shut down starts")
	}
}

func TestWorkerIsReadyWhenItServesAndBothDatabasesAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.newWorker(t, nil)
	if err := w.Ready(t.Context()); err == nil {
		t.Error("a worker that was not started says it is ready")
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopWorker(t, w) })
	if err := w.Start(); err == nil {
		t.Error("a worker starts twice")
	}
	if err := w.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "redis is seen", func() bool { return testutil.ToFloat64(w.metrics.redisUp) == 1 })
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := w.Ready(t.Context()); err == nil {
		t.Error("a worker without Redis says it is ready")
	}
	eventually(t, "redis is missed", func() bool { return testutil.ToFloat64(w.metrics.redisUp) == 0 })
}

func TestBadConfigurationNamesItsField(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for field, change := range map[string]func(*Config){
		"parts":            func(c *Config) { c.Redis = nil },
		"concurrency":      func(c *Config) { c.Concurrency = -1 },
		"shutdown timeout": func(c *Config) { c.ShutdownTimeout = time.Millisecond },
		"poll interval":    func(c *Config) { c.PollInterval = time.Microsecond },
		"starts":           func(c *Config) { c.StartsMax = 1 },
		"channel calls":    func(c *Config) { c.ChannelCallsMax = -1 },
		"channel rate":     func(c *Config) { c.ChannelRate = -1 },
		"channel timeout":  func(c *Config) { c.ChannelTimeout = -1 },
		"servers":          func(c *Config) { c.Servers = map[tasks.Queue]int{"refund": 1} },
	} {
		config := Config{Ledger: s.ledger, Client: s.client, Pool: s.pool, Redis: s.redis}
		change(&config)
		_, err := New(t.Context(), config)
		var refused *ConfigError
		if !errors.As(err, &refused) || refused.Field != field {
			t.Errorf("got %v, want an error that names the %s", err, field)
		}
	}
	if _, err := RedisOptions("http://user:secret@host", nil); err == nil || err.Error() == "" {
		t.Error("a URL of another program is taken")
	}
}

func TestDefaultsAreExplicitForAsynq(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w, err := New(t.Context(), Config{Ledger: s.ledger, Client: s.client, Pool: s.pool, Redis: s.redis})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.servers) != 7 {
		t.Errorf("%d servers, want 7", len(w.servers))
	}
	if options, err := RedisOptions("redis://localhost", nil); err != nil || options.PoolSize != 27 || options.MaxRetries != -1 {
		t.Errorf("redis is opened with %+v, %v", options, err)
	}
}

func TestRedisIsOpenedWithWhatItsOptionsSayThen(t *testing.T) {
	t.Parallel()
	options, err := RedisOptions(redistest.New(t).URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := OpenRedis(options)
	defer func() { _ = client.Close() }()
	if got := client.Options().DialTimeout; got != 5*time.Second {
		t.Errorf("a dial may take %s", got)
	}
	if options.DialTimeout != 0 || options.Dialer != nil {
		t.Errorf("the caller's options are changed: %+v", options)
	}
	options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("what the options say afterwards: %v", err)
	}
	options.DialTimeout = 100 * time.Millisecond // Redis waits for the end of what it takes for a command
	encrypted := OpenRedis(options)
	defer func() { _ = encrypted.Close() }()
	if err := encrypted.Ping(t.Context()).Err(); err == nil {
		t.Error("a Redis that speaks plainly answers a client that encrypts")
	}
	refused := errors.New("no way there")
	options.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, refused }
	nowhere := OpenRedis(options)
	defer func() { _ = nowhere.Close() }()
	if err := nowhere.Ping(t.Context()).Err(); !errors.Is(err, refused) {
		t.Errorf("the dialer that was given said %v", err)
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	registry := prometheus.NewPedanticRegistry()
	w := s.startWorker(t, func(c *Config) { c.Registerer = registry })
	s.accept(t, recharge("r1", "u1", 100))
	s.eventuallyDecided(t, 1)
	w.metrics.redisErrors.WithLabelValues("dequeue", "connection").Inc()
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

func TestSameTaskIsDeliveredTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	w := s.newWorker(t, nil)
	receipts := s.accept(t, recharge("r1", "u1", 100), recharge("r2", "u1", 100))
	task, err := ringOf(receipts).Task()
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 8)
	for range 8 {
		go func() { results <- w.observer.ProcessTask(t.Context(), asynq.NewTask(task.Type(), task.Payload())) }()
	}
	for range 8 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	s.eventuallyDecided(t, 2)
}
