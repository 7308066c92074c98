package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Worker serves the queues of one process. Start it once, and shut it down once.
type Worker struct {
	config    Config
	metrics   *metrics
	observer  *observer
	servers   []*asynq.Server
	idle      *idleWait // nil with PollOnly
	relay     *relay
	collector *collector

	base        func() context.Context  // of handlers
	endBase     context.CancelCauseFunc // called after the servers have stopped
	draining    chan struct{}           // closed when the servers take no more tasks
	runRelay    func()
	endRelay    context.CancelFunc
	relayRuns   sync.WaitGroup
	shutdown    sync.Once
	shutdownErr error

	mu    sync.Mutex
	state workerState
}

type workerState string

const (
	stateNew      workerState = "not started"
	stateServing  workerState = "serving"
	stateDraining workerState = "shutting down"
)

// New makes a worker. ctx carries values to the handlers; its end does not stop them, because a task that has begun is finished or
// given back by Shutdown. It returns a *ConfigError.
func New(ctx context.Context, config Config) (*Worker, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	w := &Worker{config: config, metrics: newMetrics(config.Registerer), state: stateNew, draining: make(chan struct{})}
	base, endBase := context.WithCancelCause(context.WithoutCancel(ctx))
	relayCtx, endRelay := context.WithCancel(base)
	w.base, w.endBase, w.endRelay = func() context.Context { return base }, endBase, endRelay
	w.observer = w.newObserver()
	w.newServers()
	reader, bell := ledger.NewReader(config.Pool), w.observer.handler.bell
	w.relay = &relay{ledger: config.Ledger, reader: reader, bell: bell, redis: config.Redis, interval: config.RelayInterval,
		clock: config.Clock, metrics: w.metrics, logger: config.Logger}
	w.runRelay = func() { w.relay.run(relayCtx) }
	w.collector = newCollector(config, w.base)
	if config.Registerer != nil {
		config.Registerer.MustRegister(w.collector)
	}
	return w, nil
}

func (w *Worker) newObserver() *observer {
	c := w.config
	gate := newOutageGate(c.Clock, w.draining)
	sender := &sender{ledger: c.Ledger, client: c.Client, refunders: c.Refunders, rests: restsOf(c.Refunders, c.Clock),
		paces: pacesOf(c.Refunders, c.ChannelRate, c.Clock), gate: gate,
		calls: make(chan struct{}, c.ChannelCallsMax), timeout: c.ChannelTimeout, clock: c.Clock, metrics: w.metrics, logger: c.Logger}
	h := &handler{ledger: c.Ledger, bell: tasks.NewDoorbell(c.Redis), sender: sender, gate: gate, startsMax: c.StartsMax,
		alone: make(chan struct{}, 1), metrics: w.metrics}
	return &observer{handler: h, clock: c.Clock, metrics: w.metrics, logger: c.Logger}
}

// newServers makes an asynq server for each place in Config.Servers, with every option given explicitly.
func (w *Worker) newServers() {
	c := w.config
	client := w.wrapRedis()
	health := w.watchRedis
	for _, queue := range tasks.Queues() {
		for range c.Servers[queue] {
			w.servers = append(w.servers, asynq.NewServerFromRedisClient(client, asynq.Config{
				Concurrency:              c.Concurrency,
				BaseContext:              w.base,
				Queues:                   map[string]int{string(queue): 1},
				TaskCheckInterval:        c.PollInterval,
				DelayedTaskCheckInterval: time.Second, // asynq keeps retry times in whole seconds
				RetryDelayFunc:           retryDelay,
				IsFailure:                isFailure,
				ShutdownTimeout:          c.ShutdownTimeout,
				HealthCheckFunc:          health,
				HealthCheckInterval:      5 * time.Second,
				JanitorInterval:          time.Minute, // it deletes completed tasks, of which there are none
				JanitorBatchSize:         100,
				Logger:                   asynqLog{c.Logger},
				LogLevel:                 asynq.WarnLevel, // the rest is said once per server and actor
			}))
			health = nil // one server asks for all
		}
	}
}

// wrapRedis stacks what mends and speeds up asynq's use of Redis; see the package's comment.
func (w *Worker) wrapRedis() redis.UniversalClient {
	client := w.config.Redis
	if !w.config.PollOnly {
		w.idle = newIdleWait(client)
		client = w.idle
	}
	if !w.config.DoneAlone {
		client = newDoneCombiner(client, w.metrics)
	}
	return &hardenedRedis{UniversalClient: client, metrics: w.metrics}
}

func (w *Worker) watchRedis(err error) {
	up := 1.0
	if err != nil {
		up = 0
	}
	w.metrics.redisUp.Set(up)
}

// Start begins to serve. It returns at once; Redis and PostgreSQL need not answer yet. It fails when the worker was started before.
func (w *Worker) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != stateNew {
		return fmt.Errorf("start worker: it is %s", w.state)
	}
	for _, server := range w.servers {
		if err := server.Start(w.observer); err != nil {
			return fmt.Errorf("start worker: %w", err)
		}
	}
	if w.config.RelayInterval > 0 {
		w.relayRuns.Go(w.runRelay)
	}
	w.state = stateServing
	w.config.Logger.LogAttrs(w.base(), slog.LevelInfo, "worker serves", slog.Int("servers", len(w.servers)),
		slog.Int("concurrency", w.config.Concurrency))
	return nil
}

// Ready returns nil when the worker serves and both databases answer.
func (w *Worker) Ready(ctx context.Context) error {
	w.mu.Lock()
	state := w.state
	w.mu.Unlock()
	if state != stateServing {
		return fmt.Errorf("worker is %s", state)
	}
	if err := w.config.Redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	if err := w.config.Pool.Ping(ctx); err != nil {
		return fmt.Errorf("ask postgres: %w", err)
	}
	return nil
}

// errStillRunning is returned by Shutdown when handlers did not return in time.
var errStillRunning = errors.New("handlers are still running")

// Shutdown drains the worker: it is no longer ready, the relay stops, the servers take no more tasks and finish those that they have,
// up to ShutdownTimeout; then what is left goes back to Redis and its handlers are told to end. When it returns nil nothing of the
// worker runs any more (W6). ctx bounds the wait for handlers that do not end. It may be called again, and answers the same.
func (w *Worker) Shutdown(ctx context.Context) error {
	w.shutdown.Do(func() { w.shutdownErr = w.drain(ctx) })
	return w.shutdownErr
}

func (w *Worker) drain(ctx context.Context) error {
	w.mu.Lock()
	w.state = stateDraining
	w.mu.Unlock()
	w.endRelay()
	w.relayRuns.Wait()
	if w.idle != nil {
		w.idle.close()
	}
	w.onAllServers((*asynq.Server).Stop)
	close(w.draining)
	w.onAllServers((*asynq.Server).Shutdown)
	w.endBase(errDraining)
	if w.config.Registerer != nil {
		w.config.Registerer.Unregister(w.collector)
	}
	w.collector.backlog.close()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		w.observer.inFlight.Wait()
	}()
	select {
	case <-finished:
		w.config.Logger.LogAttrs(ctx, slog.LevelInfo, "worker has stopped")
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut worker down: %w: %w", errStillRunning, context.Cause(ctx))
	}
}

// onAllServers does something with every server at once: each of them waits.
func (w *Worker) onAllServers(do func(*asynq.Server)) {
	var running sync.WaitGroup
	for _, server := range w.servers {
		running.Go(func() { do(server) })
	}
	running.Wait()
}
