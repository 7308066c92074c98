package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// benchClock measures; nothing of it is stored.
var benchClock = clock.System

// The servers of every row that goes through asynq: empty and typical have as many, with as much concurrency, as the worker.
const (
	servers     = 4
	concurrency = 128
)

// system is a worker over the run's database and queues.
type system struct {
	registry *prometheus.Registry
	ledger   *ledger.Ledger
	ringer   *tasks.Ringer
	client   *tasks.Client
	worker   *worker.Worker
}

// startSystem starts a worker that serves one queue with the row's servers. The caller stops it; on an error nothing is left.
func startSystem(ctx context.Context, e *environment, queue tasks.Queue) (*system, error) {
	s := &system{registry: prometheus.NewRegistry(), ringer: tasks.NewRinger(ctx, e.doorbell, tasks.RingIDsMax, nil)}
	if err := s.start(ctx, e, queue); err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}
	return s, nil
}

func (s *system) start(ctx context.Context, e *environment, queue tasks.Queue) (err error) {
	if s.ledger, err = e.openLedger(ctx, s.ringer.Ring, s.registry); err != nil {
		return err
	}
	s.client, err = tasks.NewClient(ctx, e.pool, e.doorbell, tasks.ClientConfig{Producer: producerName, RingAfter: time.Hour})
	if err != nil {
		return err
	}
	s.worker, err = worker.New(ctx, worker.Config{Ledger: s.ledger, Client: s.client, Pool: e.pool, Redis: e.redis,
		Servers: map[tasks.Queue]int{queue: servers}, Concurrency: concurrency, RelayInterval: -1, ShutdownTimeout: 2 * time.Second})
	if err != nil {
		return err
	}
	return s.worker.Start()
}

// stop ends what was started, the last first: the ledger rings until it is closed.
func (s *system) stop(ctx context.Context) error {
	var err error
	if s.worker != nil {
		err = s.worker.Shutdown(ctx)
	}
	if s.ledger != nil {
		s.ledger.Close()
	}
	if s.client != nil {
		s.client.Close()
	}
	s.ringer.Close()
	return err
}

// decided waits until the ledger has counted n final outcomes. Asking the tables all the time would be work that no row is about.
func (s *system) decided(ctx context.Context, n int) error {
	return until(ctx, func() (bool, error) {
		families, err := s.registry.Gather()
		if err != nil {
			return false, fmt.Errorf("count outcomes: %w", err)
		}
		var sum float64
		for _, family := range families {
			if family.GetName() != "settled_ledger_requests_total" {
				continue
			}
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
		return int(sum) >= n, nil
	})
}

// batchSize is how many requests a batch had on average.
func (s *system) batchSize() float64 {
	families, err := s.registry.Gather()
	if err != nil {
		return 0
	}
	for _, family := range families {
		if family.GetName() == "settled_ledger_batch_requests" {
			h := family.GetMetric()[0].GetHistogram()
			return h.GetSampleSum() / max(1, float64(h.GetSampleCount()))
		}
	}
	return 0
}

// drained waits until nothing is pending any more.
func (e *environment) drained(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		var left int
		err := e.pool.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM pending LIMIT 1) p").Scan(&left)
		return left == 0, err
	})
}

// until polls often: a row lasts seconds.
func until(ctx context.Context, holds func() (bool, error)) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		done, err := holds()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// drain rings for accepted requests, ringSize in a task, and measures a worker from its start until all are decided.
func drain(ctx context.Context, e *environment, bells []tasks.Bell, ringSize int) (measured sample, batch float64, err error) {
	if err := e.redis.FlushDB(ctx).Err(); err != nil {
		return sample{}, 0, fmt.Errorf("empty redis: %w", err)
	}
	for from := 0; from < len(bells); from += 5000 {
		if err := e.doorbell.Ring(ctx, bells[from:min(from+5000, len(bells))], ringSize, false); err != nil {
			return sample{}, 0, err
		}
	}
	var s *system
	measured, err = e.measured(ctx, len(bells), func() (err error) {
		if s, err = startSystem(ctx, e, bells[0].Kind.Queue()); err != nil {
			return err
		}
		return s.decided(ctx, len(bells))
	})
	if s != nil {
		batch = s.batchSize()
		if stopErr := s.stop(ctx); err == nil {
			err = stopErr
		}
	}
	return measured, batch, err
}

// drainTasks puts n tasks into a queue and measures plain asynq servers with a handler until it has seen all.
func drainTasks(ctx context.Context, e *environment, n int, handle func(ctx context.Context, i int) error) (sample, error) {
	client := e.redis
	if err := client.FlushDB(ctx).Err(); err != nil {
		return sample{}, fmt.Errorf("empty redis: %w", err)
	}
	queue := asynq.NewClientFromRedisClient(client)
	if err := inParallel(16, n, func(_, i int) error {
		_, err := queue.EnqueueContext(ctx, asynq.NewTask("bench", fmt.Appendf(nil, "%d", i)), asynq.Queue("bench"), asynq.MaxRetry(25),
			asynq.Timeout(tasks.RingTimeout))
		return err
	}); err != nil {
		return sample{}, fmt.Errorf("enqueue: %w", err)
	}
	var seen atomic.Int64
	handler := asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		var i int
		if _, err := fmt.Sscanf(string(task.Payload()), "%d", &i); err != nil {
			return err
		}
		err := handle(ctx, i)
		if err == nil {
			seen.Add(1)
		}
		return err
	})
	var started []*asynq.Server
	measured, err := e.measured(ctx, n, func() error {
		for range servers {
			server := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: concurrency, Queues: map[string]int{"bench": 1},
				TaskCheckInterval: 10 * time.Millisecond, LogLevel: asynq.FatalLevel, ShutdownTimeout: time.Second})
			if err := server.Start(handler); err != nil {
				return err
			}
			started = append(started, server)
		}
		return until(ctx, func() (bool, error) { return seen.Load() >= int64(n), nil })
	})
	for _, server := range started {
		server.Stop()
	}
	for _, server := range started {
		server.Shutdown()
	}
	return measured, err
}
