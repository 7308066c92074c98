package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// target is where an endpoint's messages go.
type target struct {
	url     string
	secrets []Secret
}

// attempt is what became of one POST.
type attempt struct {
	status  int    // 0 when there was no answer
	problem string // empty when it was delivered
	wait    time.Duration
}

// answerBytesMax is how much of an answer is read, so that its connection can be used again.
const answerBytesMax = 64 << 10

// deliver posts a message and stores what became of it. When ctx ends, the message is left to its lease.
func (c *Courier) deliver(ctx context.Context, to target, d *due) error {
	begun := c.config.Clock.Now()
	a := c.post(ctx, to, d)
	if a.status == 0 && ctx.Err() != nil {
		return nil
	}
	result := resultDelivered
	if a.problem != "" {
		result = resultFailed
	}
	c.metrics.attempts.WithLabelValues(result).Observe(c.config.Clock.Now().Sub(begun).Seconds())
	// What the endpoint was told must be stored although this process stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	if a.problem == "" {
		return c.store(ctx, d, stateDelivered, a, 0)
	}
	if a.status == http.StatusGone {
		if err := c.disable(ctx, d.endpointID); err != nil {
			return err
		}
	}
	pause, again := pauseAfter(d.attempts)
	if again {
		return c.store(ctx, d, stateWaiting, a, max(pause, a.wait))
	}
	c.metrics.ended.Inc()
	c.config.Logger.LogAttrs(ctx, slog.LevelError, "webhook message is dead after its last try", slog.String("endpoint", d.endpointID),
		slog.Int64("sequence", d.sequence), slog.Int("status", a.status), slog.String("problem", a.problem))
	return c.store(ctx, d, stateDead, a, 0)
}

func (c *Courier) post(ctx context.Context, to target, d *due) attempt {
	body, err := json.Marshal(d.message)
	if err != nil {
		return attempt{problem: "message cannot be written"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return attempt{problem: "url cannot be used"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "settled-webhook/1")
	now := c.config.Clock.Now()
	sign(request.Header, d.id(), now, body, to.secrets...)
	answer, err := c.client.Do(request)
	if err != nil {
		return attempt{problem: briefly(err)}
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, answerBytesMax))
	if answer.StatusCode >= 200 && answer.StatusCode <= 299 {
		return attempt{status: answer.StatusCode}
	}
	return attempt{status: answer.StatusCode, problem: "answered " + answer.Status, wait: retryAfter(answer, now)}
}

// briefly says what went wrong without the URL, which may hold a producer's token.
func briefly(err error) string {
	var whole *url.Error
	if errors.As(err, &whole) {
		err = whole.Err
	}
	text := err.Error()
	return text[:min(len(text), 200)]
}

// The states of a message.
const (
	stateWaiting   = "waiting"
	stateDelivered = "delivered"
	stateDead      = "dead"
)

const storeAttemptSQL = `
UPDATE webhook_messages
SET state = $3, next_try_at = clock_timestamp() + $4, last_status = nullif($5, 0), last_problem = nullif($6, ''),
    ended_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE clock_timestamp() END
WHERE endpoint_id = $1 AND sequence = $2 AND attempts = $7 AND state = 'waiting'`

// store notes what became of a message. An attempt whose lease ran out, and that another process took over, changes nothing any more.
func (c *Courier) store(ctx context.Context, d *due, state string, a attempt, pause time.Duration) error {
	_, err := c.config.Pool.Exec(ctx, storeAttemptSQL, d.endpointID, d.sequence, state, pause, a.status, a.problem, d.attempts)
	if err != nil {
		return fmt.Errorf("store an attempt of %s: %w", d.id(), err)
	}
	return nil
}

const goneSQL = `
UPDATE webhook_endpoints
SET disabled_at = clock_timestamp(), disabled_because = 'it answered 410 Gone'
WHERE id = $1 AND disabled_at IS NULL`

func (c *Courier) disable(ctx context.Context, id string) error {
	if _, err := c.config.Pool.Exec(ctx, goneSQL, id); err != nil {
		return fmt.Errorf("disable endpoint %s: %w", id, err)
	}
	c.config.Logger.LogAttrs(ctx, slog.LevelError, "webhook endpoint is gone and disabled", slog.String("endpoint", id))
	return nil
}
