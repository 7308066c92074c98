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

	"github.com/settled-dev/settled/internal/clock"
)

// Numbers of the courier.
const (
	// perEndpoint is how many deliveries to one endpoint are under way in one process: a slow one holds nobody else up.
	perEndpoint = 8
	// attemptTimeout bounds one attempt; Standard Webhooks recommends 15 to 30 s.
	attemptTimeout = 15 * time.Second
	// lease is how long a claimed message is left to the process that claimed it.
	lease = 2 * time.Minute
	// pollDefault is how often it is asked what is new.
	pollDefault = time.Second
	// troubleMax is the longest pause after failed rounds.
	troubleMax = 30 * time.Second
)

// Config configures a Courier.
type Config struct {
	Pool       *pgxpool.Pool         // as the service. Required
	Guard      Guard                 // which addresses may be called
	Poll       time.Duration         // how often it is asked what is new. Defaults to 1 s
	Clock      clock.Timer           // Defaults to the system's
	Registerer prometheus.Registerer // Defaults to none
	Logger     *slog.Logger          // Defaults to nobody
}

// Courier gathers outcomes and delivers messages.
type Courier struct {
	config  Config
	client  *http.Client
	metrics *metrics

	mu      sync.Mutex
	serving map[string]bool // endpoints that a goroutine delivers to
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
		serving: map[string]bool{}}
}

// Run gathers and delivers until ctx ends, and waits for attempts under way. It returns nil then.
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
			c.metrics.errors.Inc()
			c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "webhooks wait, will try again", slog.String("error", err.Error()))
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

const booksAndEndpointsSQL = `
SELECT (SELECT coalesce(array_agg(book ORDER BY book), '{}') FROM books),
       (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM webhook_endpoints WHERE disabled_at IS NULL)`

// backlogSQL is the age of the oldest message that waits at an endpoint that is not disabled, and how many are dead.
const backlogSQL = `
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(m.created_at) FILTER (WHERE m.state = 'waiting')), 0)::float8,
       count(*) FILTER (WHERE m.state = 'waiting'), count(*) FILTER (WHERE m.state = 'dead')
FROM webhook_messages m
JOIN webhook_endpoints e ON e.id = m.endpoint_id
WHERE e.disabled_at IS NULL AND m.state IN ('waiting', 'dead')`

// round gathers once from each book and sees that each endpoint has a goroutine. more says that a book had a full page.
func (c *Courier) round(ctx context.Context) (more bool, err error) {
	if _, err := c.config.Pool.Exec(ctx, makeCursorsSQL); err != nil {
		return false, fmt.Errorf("make cursors: %w", err)
	}
	var books []int
	var endpoints []string
	if err := c.config.Pool.QueryRow(ctx, booksAndEndpointsSQL).Scan(&books, &endpoints); err != nil {
		return false, fmt.Errorf("list books and endpoints: %w", err)
	}
	for _, book := range books {
		looked, err := gather(ctx, c.config.Pool, book)
		if err != nil {
			return false, err
		}
		more = more || looked >= gatherMax
	}
	for _, id := range endpoints {
		c.serve(ctx, id)
	}
	var oldest float64
	var waiting, dead int64
	if err := c.config.Pool.QueryRow(ctx, backlogSQL).Scan(&oldest, &waiting, &dead); err != nil {
		return more, fmt.Errorf("read the backlog: %w", err)
	}
	c.metrics.oldest.Set(oldest)
	c.metrics.waiting.Set(float64(waiting))
	c.metrics.dead.Set(float64(dead))
	return more, nil
}

// serve delivers what is due to an endpoint, in a goroutine of its own, until nothing is.
func (c *Courier) serve(ctx context.Context, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving[id] {
		return
	}
	c.serving[id] = true
	c.running.Go(func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.serving, id)
		}()
		for ctx.Err() == nil {
			n, err := c.deliverDue(ctx, id)
			if err != nil && !errors.Is(err, context.Canceled) {
				c.metrics.errors.Inc()
				c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "webhook endpoint waits, will try again", slog.String("endpoint", id),
					slog.String("error", err.Error()))
			}
			if err != nil || n == 0 {
				return // the next round looks again
			}
		}
	})
}

// claimMessagesSQL takes due messages of an endpoint for a lease, and reads what they say. It waits for no lock.
const claimMessagesSQL = `
WITH claimed AS (
    UPDATE webhook_messages m
    SET attempts = m.attempts + 1, next_try_at = clock_timestamp() + $3
    FROM (
        SELECT endpoint_id, sequence
        FROM webhook_messages
        WHERE endpoint_id = $1 AND state = 'waiting' AND next_try_at <= clock_timestamp()
        ORDER BY next_try_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE m.endpoint_id = due.endpoint_id AND m.sequence = due.sequence
    RETURNING m.endpoint_id, m.sequence, m.attempts, m.event, m.book, m.request_id
)
SELECT c.endpoint_id, c.sequence, c.attempts, c.event, r.id, r.kind, r.key, r.payload, o.result, coalesce(o.reason, ''),
       coalesce(o.detail, ''), o.first_transfer, o.transfers, o.attempts, o.decided_at
FROM claimed c
JOIN requests r ON r.book = c.book AND r.id = c.request_id
JOIN outcomes o ON o.book = c.book AND o.request_id = c.request_id
ORDER BY c.sequence`

const readEndpointSQL = `
SELECT url, secret, CASE WHEN previous_secret_until > clock_timestamp() THEN previous_secret END
FROM webhook_endpoints
WHERE id = $1 AND disabled_at IS NULL`

// deliverDue claims what is due at an endpoint and delivers it, all at once. It returns how many messages it claimed.
func (c *Courier) deliverDue(ctx context.Context, id string) (int, error) {
	var to target
	var secret, previous []byte
	err := c.config.Pool.QueryRow(ctx, readEndpointSQL, id).Scan(&to.url, &secret, &previous)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil // it was disabled just now
	}
	if err != nil {
		return 0, fmt.Errorf("read endpoint %s: %w", id, err)
	}
	to.secrets = []Secret{secret}
	if previous != nil {
		to.secrets = append(to.secrets, previous)
	}
	claimed, err := c.claim(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("claim messages of %s: %w", id, err)
	}
	problems := make([]error, len(claimed))
	var delivering sync.WaitGroup
	for i := range claimed {
		delivering.Go(func() { problems[i] = c.deliver(ctx, to, &claimed[i]) })
	}
	delivering.Wait()
	return len(claimed), errors.Join(problems...)
}

func (c *Courier) claim(ctx context.Context, id string) ([]due, error) {
	rows, err := c.config.Pool.Query(ctx, claimMessagesSQL, id, perEndpoint, lease)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d due, err error) {
		m, o := &d.message, &d.message.Data.Outcome
		err = row.Scan(&d.endpointID, &d.sequence, &d.attempts, &m.Type, &m.Data.ID, &m.Data.Kind, &m.Data.Key, &m.Data.Payload, &o.Result,
			&o.Reason, &o.Detail, &o.FirstTransfer, &o.Transfers, &o.Attempts, &o.DecidedAt)
		m.Sequence, m.Timestamp = d.sequence, o.DecidedAt
		return d, err
	})
}
