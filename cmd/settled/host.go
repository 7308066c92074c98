package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// connection says where the servers are that a process stands on.
type connection struct {
	databaseFlags
	redisFlags
	servers map[tasks.Queue]int // of the worker in this process; nil is its default
}

// host is a serving process: what it is connected to, and the services that run in it.
type host struct {
	name     string
	logger   *slog.Logger
	registry *prometheus.Registry
	pool     *pgxpool.Pool
	// databaseURL is where pool is connected to, for services with connections of their own.
	databaseURL string
	redis       *redis.Client
	clock       clock.Timer
	roster      *roster.Roster // nil until a service asks for it

	apiEntrance *entrance           // what the API serves; nil when it does not listen
	simulator   *simulate.Simulator // nil when channels are not simulated

	apiAddress, simulatorAddress, metricsAddress string // "" when not served

	services  []service
	telemetry service   // outlives the others, so that one can see them end
	health    *entrance // what telemetry serves; nil when it is off
	checks    []telemetry.Check
	closers   []func()

	connectTries int // in vain
}

// service runs until its context ends and what it has begun is finished.
type service struct {
	name string
	run  func(context.Context) error
}

// serve is a serving process from its start to its end: it serves telemetry and what early adds, waits for PostgreSQL, lets start add
// services, and runs until ctx ends or a service fails. A PostgreSQL that is away is waited for as long as it takes, so that everything
// may be started in any order; one that answers and is not fit to serve is an error.
func (p *Program) serve(ctx context.Context, name string, to connection, flags processFlags, start func(*host) error,
	early ...func(*host) error) error {
	h, err := p.newHost(name, to, flags)
	if err != nil {
		return err
	}
	defer h.close()
	if err := h.startTelemetry(ctx, flags); err != nil {
		return err
	}
	for _, add := range early {
		if err := add(h); err != nil {
			return err
		}
	}
	return h.run(ctx, func(ctx context.Context) error {
		if err := h.connect(ctx, h.waitForPostgres); err != nil {
			return err
		}
		if err := start(h); err != nil {
			return err
		}
		h.serveHealth(flags)
		h.logger.Info("started", slog.String("process", name), slog.String("database", postgres.Address(to.DatabaseURL)),
			slog.String("version", version()))
		return nil
	})
}

// openHost is a host that is connected; a PostgreSQL that is away is an error.
func (p *Program) openHost(ctx context.Context, name string, to connection, flags processFlags) (*host, error) {
	h, err := p.newHost(name, to, flags)
	if err != nil {
		return nil, err
	}
	if err := h.connect(ctx, func(_ context.Context, away error) error { return away }); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// newHost is a host that is not connected to PostgreSQL yet.
func (p *Program) newHost(name string, to connection, flags processFlags) (*host, error) {
	logger, err := flags.logger(p)
	if err != nil {
		return nil, err
	}
	url, err := to.databaseFlags.require()
	if err != nil {
		return nil, err
	}
	h := &host{name: name, logger: logger, registry: telemetry.NewRegistry(), clock: p.Clock, databaseURL: url}
	if _, err := to.redisFlags.require(); err != nil {
		return nil, err
	}
	if h.redis, err = worker.OpenRedisURL(to.RedisURL, to.servers); err != nil {
		return nil, err
	}
	h.onClose(func() {
		if err := h.redis.Close(); err != nil {
			logger.Warn("close redis", slog.Any("error", err))
		}
	})
	return h, nil
}

// connect opens PostgreSQL. While that is away, wait is told why, and the next try follows once it returns nil. An end of ctx is
// returned as its cause.
func (h *host) connect(ctx context.Context, wait func(ctx context.Context, away error) error) error {
	for {
		pool, err := postgres.Open(ctx, h.databaseURL, postgres.ApplicationName("settled "+h.name))
		switch {
		case err == nil:
			h.pool = pool
			h.onClose(pool.Close)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !postgres.IsConnection(err):
			return err
		}
		if err := wait(ctx, err); err != nil {
			return err
		}
	}
}

// How a PostgreSQL that is away is waited for.
const (
	connectPause = 500 * time.Millisecond
	// connectTold is after how many tries in vain it is told again: every ten seconds of a server that refuses.
	connectTold = 20
)

// waitForPostgres waits until it is time to try again, and tells of it now and then.
func (h *host) waitForPostgres(ctx context.Context, away error) error {
	if h.connectTries%connectTold == 0 {
		h.logger.Warn("waiting for PostgreSQL", slog.Any("error", away))
	}
	h.connectTries++
	select {
	case <-h.clock.After(connectPause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add adds a service; run starts it.
func (h *host) add(name string, run func(context.Context) error) {
	h.services = append(h.services, service{name: name, run: run})
}

// ready makes the process ready only while check returns nil. It is called before serveHealth.
func (h *host) ready(name string, check func(context.Context) error) {
	h.checks = append(h.checks, telemetry.Check{Name: name, Ready: check})
}

// ringFailed is told of rings that did not reach Redis.
func (h *host) ringFailed(err error) {
	h.logger.Warn("rings failed, the relay repeats them", slog.Any("error", err))
}

// onClose registers what is closed when the process ends, the last first.
func (h *host) onClose(closer func()) { h.closers = append(h.closers, closer) }

func (h *host) close() {
	for i := len(h.closers) - 1; i >= 0; i-- {
		h.closers[i]()
	}
	h.closers = nil
}

// startTelemetry serves metrics and health. A process is ready while PostgreSQL answers, it was not asked to end, and its services
// say so. Accepting needs no Redis, so it is the worker alone that asks for it.
func (h *host) startTelemetry(ctx context.Context, flags processFlags) error {
	h.ready("process", func(context.Context) error {
		if ctx.Err() != nil {
			return errors.New("ends")
		}
		return nil
	})
	if flags.MetricsListen == "off" {
		return nil
	}
	listener, err := listen(ctx, "--metrics-listen", "SETTLED_METRICS_LISTEN", flags.MetricsListen)
	if err != nil {
		return err
	}
	h.onClose(func() { _ = listener.Close() }) // serving has closed it, unless it never began
	h.metricsAddress = "http://" + listener.Addr().String()
	h.logger.Info("telemetry listens", slog.String("address", listener.Addr().String()))
	waiting := telemetry.Check{Name: "postgres", Ready: func(context.Context) error { return errors.New("did not answer yet") }}
	h.health = newEntrance(h.healthHandler(flags, append(slices.Clone(h.checks), waiting)))
	h.telemetry = service{name: "telemetry", run: func(ctx context.Context) error { return serveHTTP(ctx, listener, h.health, h.logger) }}
	return nil
}

func (h *host) healthHandler(flags processFlags, checks []telemetry.Check) http.Handler {
	return telemetry.NewHandler(telemetry.HandlerConfig{Gatherer: h.registry, Pprof: flags.Pprof, Checks: checks})
}

// serveHealth has readiness ask all checks: the process is connected and all its services are added.
func (h *host) serveHealth(flags processFlags) {
	h.ready("postgres", h.pool.Ping)
	if h.health != nil {
		h.health.lead(h.healthHandler(flags, h.checks))
	}
}

// run runs the services until ctx ends or one of them fails, and returns when all have finished. Those that more adds are run once it
// has returned; its context ends as theirs does, and its error ends all. more may be nil.
func (h *host) run(ctx context.Context, more func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	var failed failures
	start := func(ctx context.Context, running *sync.WaitGroup, s service) {
		running.Go(func() {
			defer cancel()
			if err := s.run(ctx); err != nil {
				failed.add(fmt.Errorf("%s: %w", s.name, err))
			}
		})
	}
	var serving, watching sync.WaitGroup
	if h.telemetry.run != nil {
		start(watched, &watching, h.telemetry)
	}
	early := len(h.services)
	for _, s := range h.services {
		start(ctx, &serving, s)
	}
	if more != nil {
		if err := more(ctx); err != nil {
			if ctx.Err() == nil { // else it says nothing new
				failed.add(err)
			}
			cancel()
			early = len(h.services) // what was added before the error stays out
		}
	}
	for _, s := range h.services[early:] {
		start(ctx, &serving, s)
	}
	serving.Wait()
	unwatch()
	watching.Wait()
	h.logger.Info("ended", slog.String("process", h.name))
	return errors.Join(failed.errs...)
}

// failures collects errors of goroutines.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}
