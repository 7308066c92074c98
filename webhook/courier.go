package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/settled-dev/settled/internal/clock"
)

// Numbers of the courier.
const (
	// ConnsWanted is how many connections a courier's pool should have: one to gather by, the others for endpoints, which need one for
	// milliseconds at a time.
	ConnsWanted = 4
	// pollDefault is how often it is asked what is new.
	pollDefault = time.Second
	// countEvery is how often the backlog is counted.
	countEvery = 15 * time.Second
	// troubleMax is the longest pause after failed rounds.
	troubleMax = 30 * time.Second
	// attemptsAtOnce bounds the attempts under way in one process, and with them its memory: each holds a message and a connection.
	attemptsAtOnce = 512
)

// Config configures a Courier.
type Config struct {
	// Pool acts as the service. It should be the courier's own, of ConnsWanted connections, so that the ledger never waits for one.
	// Required.
	Pool *pgxpool.Pool
	// Guard says which addresses may be called.
	Guard Guard
	// Poll is how often it is asked what is new. Defaults to 1 s.
	Poll time.Duration
	// Clock tells the time of attempts, and is waited on between rounds. Defaults to the system's.
	Clock clock.Timer
	// Registerer registers the metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Logger is told of what fails. Defaults to nobody.
	Logger *slog.Logger
}

// Courier gathers outcomes and delivers messages.
type Courier struct {
	config  Config
	client  *http.Client
	metrics *metrics
	slots   *semaphore.Weighted // attemptsAtOnce; first come, first served
	counted time.Time           // when the backlog was

	mu      sync.Mutex
	serving map[string]bool // endpoints that a goroutine delivers to
	failing map[string]bool // endpoints that took nothing last
	running sync.WaitGroup
}

// NewCourier makes a courier; Run it once. Several processes may run one.
func NewCourier(config Config) *Courier {
	if config.Poll == 0 {
		config.Poll = pollDefault
	}
	if config.Clock == nil {
		config.Clock = clock.System
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Courier{config: config, client: config.Guard.client(attemptTimeout), metrics: newMetrics(config.Registerer),
		slots: semaphore.NewWeighted(attemptsAtOnce), serving: map[string]bool{}, failing: map[string]bool{}}
}

// Run gathers and delivers until ctx ends, and waits for what is under way. It returns nil then.
func (c *Courier) Run(ctx context.Context) error {
	defer c.client.CloseIdleConnections()
	defer c.running.Wait()
	trouble := time.Duration(0)
	for {
		more, err := c.round(ctx)
		pause := c.config.Poll
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			trouble = min(max(2*trouble, c.config.Poll), troubleMax)
			pause = trouble
			c.warn(ctx, "webhooks wait, will try again", err)
		case more:
			trouble, pause = 0, 0
		default:
			trouble = 0
		}
		select {
		case <-c.config.Clock.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Courier) warn(ctx context.Context, message string, err error) {
	c.metrics.errors.Inc()
	c.config.Logger.LogAttrs(ctx, slog.LevelWarn, message, slog.String("error", err.Error()))
}

// round gathers once from each book that has something new, and sees that each endpoint with something due has a goroutine. What fails of
// it keeps nothing else from being done. more says that a book had a full page.
func (c *Courier) round(ctx context.Context) (more bool, err error) {
	more, err = c.gatherAll(ctx)
	return more, errors.Join(err, c.serveDue(ctx), c.count(ctx))
}

func (c *Courier) gatherAll(ctx context.Context) (more bool, err error) {
	rows, err := c.config.Pool.Query(ctx, ungatheredBooksSQL)
	if err != nil {
		return false, fmt.Errorf("look for new outcomes: %w", err)
	}
	books, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return false, fmt.Errorf("look for new outcomes: %w", err)
	}
	var errs []error
	for _, book := range books {
		looked, err := gather(ctx, c.config.Pool, book, gatherMax)
		if err != nil {
			errs = append(errs, err)
		}
		more = more || looked >= gatherMax
	}
	return more, errors.Join(errs...)
}

// dueEndpointsSQL lists the endpoints that have something to be tried now.
const dueEndpointsSQL = `
SELECT e.id
FROM webhook_endpoints e
WHERE e.disabled_at IS NULL AND e.rests_until <= clock_timestamp() AND EXISTS (
    SELECT FROM webhook_messages m WHERE m.endpoint_id = e.id AND m.state = 'waiting' AND m.next_try_at <= clock_timestamp()
)
ORDER BY e.id`

func (c *Courier) serveDue(ctx context.Context) error {
	rows, err := c.config.Pool.Query(ctx, dueEndpointsSQL)
	if err != nil {
		return fmt.Errorf("look for due messages: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for due messages: %w", err)
	}
	for _, id := range ids {
		c.serve(ctx, id)
	}
	return nil
}

// serve delivers what is due to an endpoint, in a goroutine of its own, until nothing is or nothing is taken: the next round looks again.
func (c *Courier) serve(ctx context.Context, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving[id] {
		return
	}
	c.serving[id] = true
	c.running.Go(func() {
		more := true
		for more && ctx.Err() == nil {
			var err error
			more, err = c.deliverPage(ctx, id, c.share(id))
			if err != nil && ctx.Err() == nil {
				c.warn(ctx, "a webhook endpoint waits, will try again", err)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.serving, id)
	})
}

// share is how many attempts an endpoint may have under way in this process (H7).
func (c *Courier) share(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing[id] {
		return 1
	}
	return shareMax
}

// note remembers whether an endpoint takes anything.
func (c *Courier) note(id string, takes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if takes {
		delete(c.failing, id)
	} else {
		c.failing[id] = true
	}
}

// backlogSQL is of the endpoints that are not disabled: the age of the oldest outcome that is not told, whether it is a message already
// or not, where one that is to become a message of an endpoint that is gone counts too; how many messages wait; how many are dead.
const backlogSQL = `
SELECT coalesce(extract(epoch FROM clock_timestamp() - least(min(waiting.oldest), (
           SELECT min((SELECT min(o.decided_at) FROM outcomes o WHERE o.book = c.book AND o.decided_at > c.decided_at))
           FROM webhook_cursors c
           WHERE EXISTS (SELECT FROM webhook_endpoints WHERE disabled_at IS NULL OR gone)
       ))), 0)::float8, coalesce(sum(waiting.messages), 0)::bigint, coalesce(sum(dead.messages), 0)::bigint
FROM webhook_endpoints e
CROSS JOIN LATERAL (
    SELECT count(*) AS messages, min(m.created_at) AS oldest
    FROM webhook_messages m
    WHERE m.endpoint_id = e.id AND m.state = 'waiting'
) waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS messages
    FROM webhook_messages m
    WHERE m.endpoint_id = e.id AND m.state = 'dead'
) dead
WHERE e.disabled_at IS NULL`

const goneEndpointsSQL = `SELECT count(*) FROM webhook_endpoints WHERE gone`

func (c *Courier) count(ctx context.Context) error {
	now := c.config.Clock.Now()
	if !c.counted.IsZero() && now.Sub(c.counted) < countEvery {
		return nil
	}
	var oldest float64
	var waiting, dead, gone int64
	if err := c.config.Pool.QueryRow(ctx, backlogSQL).Scan(&oldest, &waiting, &dead); err != nil {
		return fmt.Errorf("count what waits: %w", err)
	}
	if err := c.config.Pool.QueryRow(ctx, goneEndpointsSQL).Scan(&gone); err != nil {
		return fmt.Errorf("count the endpoints that are gone: %w", err)
	}
	c.counted = now
	c.metrics.oldest.Set(max(oldest, 0))
	c.metrics.waiting.Set(float64(waiting))
	c.metrics.dead.Set(float64(dead))
	c.metrics.gone.Set(float64(gone))
	return nil
}
