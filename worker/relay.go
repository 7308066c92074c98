package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Numbers of the relay.
const (
	// claimMax is how many requests one round claims: ten full rings, a few milliseconds of either database.
	claimMax = 5000
	// relayTimeout bounds a round's work, so that a hung server does not stop the relay for ever.
	relayTimeout = 30 * time.Second
	// relayPauseMax is the longest pause after failed rounds.
	relayPauseMax = 10 * time.Second
	// buryInterval is how often parked requests are looked at; they wait for hours.
	buryInterval = time.Minute
)

// epochKey stands in Redis as long as Redis keeps what it was given. When it is missing, the rings are gone too.
const epochKey = "settled:epoch"

// relay rings for accepted requests that are due: their first ring was lost, or still waits. Several relays may run at once: each
// request is claimed by one of them.
type relay struct {
	ledger   *ledger.Ledger
	reader   *ledger.Reader
	bell     *tasks.Doorbell
	redis    redis.UniversalClient
	interval time.Duration
	clock    clock.Timer
	metrics  *metrics
	logger   *slog.Logger
	nextBury time.Time
}

// run rings until ctx ends. It pauses only when nothing is due, or when a round failed: longer each time, so that it never spins.
func (r *relay) run(ctx context.Context) {
	r.warnOfEviction(ctx)
	failures := 0
	for ctx.Err() == nil {
		rung, err := r.round(ctx)
		pause := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = min(r.interval<<min(failures, 8), relayPauseMax)
			pause += rand.N(pause)
			failures++
			r.metrics.relayErrors.Inc()
			r.logger.LogAttrs(ctx, slog.LevelWarn, "relay will try again", slog.String("error", err.Error()),
				slog.Float64("pause_seconds", pause.Seconds()))
		default:
			failures = 0
			if rung == 0 {
				pause = r.interval
			}
		}
		select {
		case <-r.clock.After(pause):
		case <-ctx.Done():
		}
	}
}

// round rings once for what is due, and says for how many requests. Redis is asked first: a claimed request that cannot be rung for
// waits for its next time.
func (r *relay) round(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	if err := r.checkEpoch(ctx); err != nil {
		return 0, err
	}
	r.buryUnwoken(ctx)
	bells, err := r.ledger.ClaimDue(ctx, claimMax)
	if err != nil || len(bells) == 0 {
		return 0, err
	}
	if err := r.bell.Ring(ctx, bells, tasks.RingIDsMax, true); err != nil {
		return 0, err
	}
	r.metrics.rungAgain.Add(float64(len(bells)))
	return len(bells), nil
}

// checkEpoch notices a Redis that lost its rings (W7). Everything is made due before the epoch is set: a crash in between, or another
// relay, does it again, which is harmless.
func (r *relay) checkEpoch(ctx context.Context) error {
	_, err := r.redis.Get(ctx, epochKey).Result()
	if err == nil {
		return nil
	}
	if !errors.Is(err, redis.Nil) {
		return fmt.Errorf("read the epoch: %w", err)
	}
	if err := publishQueues(ctx, r.redis); err != nil {
		return err
	}
	due, err := r.ledger.MakeAllDue(ctx)
	if err != nil {
		return err
	}
	began := r.clock.Now().UTC().Format(time.RFC3339Nano)
	if err := r.redis.SetNX(ctx, epochKey, began, 0).Err(); err != nil {
		return fmt.Errorf("set the epoch: %w", err)
	}
	r.metrics.redisWipes.Inc()
	r.logger.LogAttrs(ctx, slog.LevelWarn, "redis had no rings of ours, all accepted requests are rung again",
		slog.Int64("requests", due))
	return nil
}

// publishQueues names the queues to asynq's inspector: asynq does so once in a client's life, so a wiped Redis would not be told.
func publishQueues(ctx context.Context, client redis.UniversalClient) error {
	var names []any
	for _, queue := range tasks.Queues() {
		names = append(names, string(queue))
	}
	if err := client.SAdd(ctx, "asynq:queues", names...).Err(); err != nil {
		return fmt.Errorf("publish the queues: %w", err)
	}
	return nil
}

// buryUnwoken makes parked requests dead that have waited as long as the policy allows. When it fails, ringing goes on.
func (r *relay) buryUnwoken(ctx context.Context) {
	now := r.clock.Now()
	if now.Before(r.nextBury) {
		return
	}
	r.nextBury = now.Add(buryInterval)
	policy, _, err := r.reader.Policy(ctx)
	var buried int64
	if err == nil {
		buried, err = r.ledger.BuryUnwoken(ctx, time.Duration(policy.ParkHoursMax)*time.Hour)
	}
	if err != nil {
		r.metrics.relayErrors.Inc()
		r.logger.LogAttrs(ctx, slog.LevelWarn, "cannot look at parked requests, will try again", slog.String("error", err.Error()))
	}
	if buried > 0 {
		r.metrics.unwoken.Add(float64(buried))
		r.logger.LogAttrs(ctx, slog.LevelError, "parked requests waited too long and are dead", slog.Int64("requests", buried))
	}
}

var evictionPolicy = regexp.MustCompile(`(?m)^maxmemory_policy:(\S+)`)

// warnOfEviction says when Redis may forget rings under pressure: it loses nothing, but the relay finds that out only in time.
func (r *relay) warnOfEviction(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	info, err := r.redis.Info(ctx, "memory").Result()
	if err != nil {
		return // the first round says it
	}
	if found := evictionPolicy.FindStringSubmatch(info); found != nil && found[1] != "noeviction" {
		r.logger.LogAttrs(ctx, slog.LevelWarn, "redis evicts keys when it is full; set maxmemory-policy to noeviction",
			slog.String("maxmemory_policy", found[1]))
	}
}
