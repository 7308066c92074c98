package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Numbers of the collector.
const (
	// collectEvery is how long counts are given out again: scrapes of several Prometheus servers ask the databases once.
	collectEvery = 5 * time.Second
	// collectTimeout keeps a hung database from holding a scrape, which gives up after ten seconds.
	collectTimeout = 2 * time.Second
)

var (
	queueTasksDesc = prometheus.NewDesc("settled_queue_tasks",
		"Tasks in asynq's queues, by queue and state. A task is a ring for many requests: see settled_backlog_requests.",
		[]string{"queue", "state"}, nil)
	queueAgeDesc = prometheus.NewDesc("settled_queue_oldest_pending_seconds",
		"Age of the task that has waited longest in the queue; 0 when none waits.", []string{"queue"}, nil)
	queuePausedDesc = prometheus.NewDesc("settled_queue_paused",
		"Whether somebody has paused the queue: 1 paused, 0 not.", []string{"queue"}, nil)
	backlogDesc = prometheus.NewDesc("settled_backlog_requests",
		"Requests without an outcome, by kind and state: accepted, parked or dead.", []string{"kind", "state"}, nil)
	backlogAgeDesc = prometheus.NewDesc("settled_backlog_oldest_seconds",
		"Age of the oldest request without an outcome; 0 when there is none.", []string{"kind", "state"}, nil)
	collectorUpDesc = prometheus.NewDesc("settled_collector_up",
		"Whether the counts of this source could be read: 1 they could, 0 not; its other series are then absent.",
		[]string{"source"}, nil)
)

// backlogStates are the states of a pending request.
var backlogStates = []string{"accepted", "parked", "dead"}

// collector exports what waits, in Redis and in PostgreSQL. It implements prometheus.Collector.
type collector struct {
	ledger *ledger.Ledger
	redis  redis.UniversalClient
	clock  clock.Clock
	logger *slog.Logger
	base   func() context.Context // a scrape brings none

	mu     sync.Mutex
	read   time.Time
	cached []prometheus.Metric
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{queueTasksDesc, queueAgeDesc, queuePausedDesc, backlogDesc, backlogAgeDesc, collectorUpDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.clock.Now(); c.cached == nil || now.Sub(c.read) >= collectEvery {
		c.cached, c.read = c.readAll(), now
	}
	for _, metric := range c.cached {
		metrics <- metric
	}
}

func (c *collector) readAll() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(c.base(), collectTimeout)
	defer cancel()
	var fromRedis, fromPostgres []prometheus.Metric
	var reading sync.WaitGroup
	reading.Go(func() { fromRedis = c.readSource(ctx, "redis", c.readQueues) })
	reading.Go(func() { fromPostgres = c.readSource(ctx, "postgres", c.readBacklog) })
	reading.Wait()
	return slices.Concat(fromRedis, fromPostgres)
}

func (c *collector) readSource(ctx context.Context, source string, read func(context.Context) ([]prometheus.Metric, error)) []prometheus.Metric {
	metrics, err := read(ctx)
	up := 1.0
	if err != nil {
		up, metrics = 0, nil
		c.logger.LogAttrs(ctx, slog.LevelWarn, "cannot count what waits", slog.String("source", source), slog.String("error", err.Error()))
	}
	return append(metrics, gauge(collectorUpDesc, up, source))
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

// readQueues counts each queue's tasks with asynq's own keys, which a test pins.
func (c *collector) readQueues(ctx context.Context) ([]prometheus.Metric, error) {
	if err := publishQueues(ctx, c.redis); err != nil {
		return nil, err
	}
	var metrics []prometheus.Metric
	for _, queue := range tasks.Queues() {
		found, err := c.readQueue(ctx, string(queue))
		if err != nil {
			return nil, err
		}
		metrics = append(metrics, found...)
	}
	return metrics, nil
}

func (c *collector) readQueue(ctx context.Context, queue string) ([]prometheus.Metric, error) {
	prefix := "asynq:{" + queue + "}:"
	counts := map[string]*redis.IntCmd{}
	var oldest *redis.StringCmd
	var paused *redis.IntCmd
	if _, err := c.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, list := range []string{"pending", "active"} {
			counts[list] = pipe.LLen(ctx, prefix+list)
		}
		for _, set := range []string{"scheduled", "retry", "archived", "completed"} {
			counts[set] = pipe.ZCard(ctx, prefix+set)
		}
		oldest = pipe.LIndex(ctx, prefix+"pending", -1)
		paused = pipe.Exists(ctx, prefix+"paused")
		return nil
	}); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	metrics := []prometheus.Metric{gauge(queuePausedDesc, float64(paused.Val()), queue)}
	for state, count := range counts {
		metrics = append(metrics, gauge(queueTasksDesc, float64(count.Val()), queue, state))
	}
	age, err := c.pendingAge(ctx, prefix, oldest.Val())
	if err != nil {
		return nil, err
	}
	return append(metrics, gauge(queueAgeDesc, age.Seconds(), queue)), nil
}

// pendingAge is how long a task has waited. asynq does not say since when for one that it put back.
func (c *collector) pendingAge(ctx context.Context, prefix, taskID string) (time.Duration, error) {
	if taskID == "" {
		return 0, nil
	}
	text, err := c.redis.HGet(ctx, prefix+"t:"+taskID, "pending_since").Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	since, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	return max(0, c.clock.Now().Sub(time.Unix(0, since))), nil
}

func (c *collector) readBacklog(ctx context.Context) ([]prometheus.Metric, error) {
	backlog, err := c.ledger.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	type place struct {
		kind  tasks.Kind
		state string
	}
	found := map[place]ledger.Backlog{}
	for _, kind := range tasks.Kinds() {
		for _, state := range backlogStates {
			found[place{kind, state}] = ledger.Backlog{}
		}
	}
	for _, b := range backlog {
		found[place{b.Kind, b.State}] = b
	}
	var metrics []prometheus.Metric
	for at, b := range found {
		metrics = append(metrics, gauge(backlogDesc, float64(b.Requests), string(at.kind), at.state),
			gauge(backlogAgeDesc, b.OldestAge.Seconds(), string(at.kind), at.state))
	}
	return metrics, nil
}
