package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

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

	apiListener net.Listener        // nil when it does not listen
	simulator   *simulate.Simulator // nil when channels are not simulated

	apiAddress, simulatorAddress, metricsAddress string // "" when not served

	services  []service
	telemetry service // outlives the others, so that one can see them end
	checks    []telemetry.Check
	closers   []func()
}

// service runs until its context ends and what it has begun is finished.
type service struct {
	name string
	run  func(context.Context) error
}

// serve is a serving process from its start to its end: it connects, lets start add services, serves telemetry, and runs until ctx
// ends or a service fails.
func (p *Program) serve(ctx context.Context, name string, to connection, flags processFlags, start func(*host) error) error {
	h, err := p.openHost(ctx, name, to, flags)
	if err != nil {
		return err
	}
	defer h.close()
	if err := h.startTelemetry(ctx, flags); err != nil {
		return err
	}
	if err := start(h); err != nil {
		return err
	}
	h.logger.Info("started", slog.String("process", name), slog.String("database", postgres.Address(to.DatabaseURL)),
		slog.String("version", version()))
	return h.run(ctx)
}

func (p *Program) openHost(ctx context.Context, name string, to connection, flags processFlags) (*host, error) {
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
	options, err := worker.RedisOptions(to.RedisURL, to.servers)
	if err != nil {
		return nil, err
	}
	h.redis = worker.OpenRedis(options)
	h.onClose(func() {
		if err := h.redis.Close(); err != nil {
			logger.Warn("close redis", slog.Any("error", err))
		}
	})
	if h.pool, err = postgres.Open(ctx, url, postgres.ApplicationName("settled "+name)); err != nil {
		h.close()
		return nil, err
	}
	h.onClose(h.pool.Close)
	return h, nil
}

// add adds a service; run starts it.
func (h *host) add(name string, run func(context.Context) error) {
	h.services = append(h.services, service{name: name, run: run})
}

// ready makes the process ready only while check returns nil. It is called before run.
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
	h.ready("postgres", h.pool.Ping)
	if flags.MetricsListen == "off" {
		return nil
	}
	listener, err := listen(ctx, "SETTLED_METRICS_LISTEN", flags.MetricsListen)
	if err != nil {
		return err
	}
	h.onClose(func() { _ = listener.Close() }) // serving has closed it, unless it never began
	h.metricsAddress = "http://" + listener.Addr().String()
	h.logger.Info("telemetry listens", slog.String("address", listener.Addr().String()))
	h.telemetry = service{name: "telemetry", run: func(ctx context.Context) error {
		handler := telemetry.NewHandler(telemetry.HandlerConfig{Gatherer: h.registry, Pprof: flags.Pprof, Checks: h.checks})
		return serveHTTP(ctx, listener, handler, h.logger)
	}}
	return nil
}

// run runs the services until ctx ends or one of them fails, and returns when all have finished.
func (h *host) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	failures := make(chan error, len(h.services)+1)
	start := func(ctx context.Context, running *sync.WaitGroup, s service) {
		running.Go(func() {
			defer cancel()
			if err := s.run(ctx); err != nil {
				failures <- fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	var serving, watching sync.WaitGroup
	if h.telemetry.run != nil {
		start(watched, &watching, h.telemetry)
	}
	for _, s := range h.services {
		start(ctx, &serving, s)
	}
	serving.Wait()
	unwatch()
	watching.Wait()
	close(failures)
	h.logger.Info("ended", slog.String("process", h.name))
	var errs []error
	for err := range failures {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
