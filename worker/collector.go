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
	"github.com/settled-dev/settled/tasks"
)

// Numbers of the collector.
const (
	// collectEvery is how long counts are given out again: scrapes of several Prometheus servers ask the databases once.
	collectEvery = 5 * time.Second
	// collectTimeout keeps a hung Redis from holding a scrape: Prometheus gives up after four seconds.
	collectTimeout = 2 * time.Second
)

var (
	queueTasksDesc = prometheus.NewDesc("settled_worker_queue_tasks",
		"Tasks in asynq's queues, by queue and state. A task is a ring for many requests: see settled_worker_backlog_requests.",
		[]string{"queue", "state"}, nil)
	queueAgeDesc = prometheus.NewDesc("settled_worker_queue_oldest_pending_seconds",
		"Age of the task that has waited longest in the queue; 0 when none waits.", []string{"queue"}, nil)
	queuePausedDesc = prometheus.NewDesc("settled_worker_queue_paused",
		"Whether somebody has paused the queue: 1 paused, 0 not.", []string{"queue"}, nil)
	backlogDesc = prometheus.NewDesc("settled_worker_backlog_requests",
		"Requests without an outcome, by kind and state: accepted, parked or dead.", []string{"kind", "state"}, nil)
	backlogAgeDesc = prometheus.NewDesc("settled_worker_backlog_oldest_seconds",
		"Age of the oldest request without an outcome; 0 when there is none.", []string{"kind", "state"}, nil)
	backlogCountAgeDesc = prometheus.NewDesc("settled_worker_backlog_count_age_seconds",
		"Time since the counts of settled_worker_backlog_requests and settled_worker_backlog_oldest_seconds were made.", nil, nil)
	openCasesDesc = prometheus.NewDesc("settled_ledger_open_cases",
		"Cases that wait for a person to decide, by kind.", []string{"kind"}, nil)
	openCasesYuanDesc = prometheus.NewDesc("settled_ledger_open_cases_yuan",
		"Amount of the cases that wait for a person to decide, by kind. What stands in suspense is that of unmatched_recharge and failed_return.",
		[]string{"kind"}, nil)
	oldestCaseDesc = prometheus.NewDesc("settled_ledger_oldest_case_age_seconds",
		"Age of the oldest case that waits for a person to decide; 0 when there is none.", []string{"kind"}, nil)
	collectorUpDesc = prometheus.NewDesc("settled_worker_collector_up",
		"Whether the counts of this source could be read: 1 they could, 0 not. Those of redis are then absent, those of postgres a minute later.",
		[]string{"source"}, nil)
)

// collector exports what waits, in Redis and in PostgreSQL. It implements prometheus.Collector.
type collector struct {
	backlog *backlogCount
	redis   redis.UniversalClient
	clock   clock.Clock
	logger  *slog.Logger
	base    func() context.Context // a scrape brings none

	mu     sync.Mutex
	read   time.Time
	queues []prometheus.Metric // cached
}

func newCollector(config Config, base func() context.Context) *collector {
	backlog := &backlogCount{read: config.Ledger.Backlog, cases: config.Ledger.OpenCases, clock: config.Clock, logger: config.Logger, base: base}
	return &collector{backlog: backlog, redis: config.Redis, clock: config.Clock, logger: config.Logger, base: base}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{queueTasksDesc, queueAgeDesc, queuePausedDesc, backlogDesc, backlogAgeDesc,
		backlogCountAgeDesc, openCasesDesc, openCasesYuanDesc, oldestCaseDesc, collectorUpDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector. The backlog is counted while the queues are read.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	c.backlog.begin()
	for _, metric := range slices.Concat(c.cachedQueues(), c.backlog.serve()) {
		metrics <- metric
	}
}

func (c *collector) cachedQueues() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.clock.Now(); c.queues == nil || now.Sub(c.read) >= collectEvery {
		c.queues, c.read = c.readRedis(), now
	}
	return c.queues
}

func (c *collector) readRedis() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(c.base(), collectTimeout)
	defer cancel()
	metrics, err := c.readQueues(ctx)
	up := 1.0
	if err != nil {
		up, metrics = 0, nil
		c.logger.LogAttrs(ctx, slog.LevelWarn, "cannot count what waits", slog.String("source", "redis"), slog.String("error", err.Error()))
	}
	return append(metrics, gauge(collectorUpDesc, up, "redis"))
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
