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
	// epochTimeout bounds making everything due: it updates each pending row.
	epochTimeout = 5 * time.Minute
	// relayPauseMax is the longest pause after failed rounds; each is drawn from its upper half, so that relays do not come together.
	relayPauseMax = 10 * time.Second
	// buryMax is how many parked requests one look makes dead at most: a statement of some hundred milliseconds.
	buryMax = 5000
	// wakeMax is how many parked requests one round looks at: an index look-up each.
	wakeMax = 5000
	// parkedInterval is how long parked requests are left alone once all have been looked at; they wait for hours.
	parkedInterval = time.Minute
)

// epochKey stands in Redis as long as Redis keeps what it was given. When it is missing, the rings are gone too. It is epochStarting
// until everything is due, so that a crash or another wipe before that is noticed.
const (
	epochKey      = "settled:epoch"
	epochStarting = "starting"
)

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
	parked   ledger.ParkedRef // where the next look for stranded requests begins
	nextWake time.Time        // when it is due
	nextLate time.Time        // when those that wait too long are looked for
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
			pause -= rand.N(pause/2 + 1)
			failures++
			r.warn(ctx, "relay will try again", err)
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
	wiped, err := r.isWiped(ctx)
	if err != nil {
		return 0, err
	}
	if wiped {
		r.startEpoch(ctx)
	}
	r.lookAtParked(ctx)
	// A worker that stops still rings for what it has claimed: nobody else would for half a minute.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTimeout)
	defer cancel()
	bells, err := r.ledger.ClaimDue(ctx, claimMax)
	if err != nil || len(bells) == 0 {
		return 0, err
	}
	if err := r.bell.Ring(ctx, bells, tasks.RingIDsMax, true); err != nil {
		return 0, errors.Join(err, r.ledger.MakeDue(ctx, bells))
	}
	r.metrics.rungAgain.Add(float64(len(bells)))
	return len(bells), nil
}

// isWiped notices a Redis that lost its rings (W7).
func (r *relay) isWiped(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	epoch, err := r.redis.Get(ctx, epochKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("read the epoch: %w", err)
	}
	return err != nil || epoch == epochStarting, nil
}

// startEpoch makes everything due under an epoch that is marked as starting, and completes it only if it still stands: a crash in
// between, a wipe, or another relay does it all again, which is harmless. When it fails it is tried in the next round; ringing goes on
// meanwhile. The mark names no relay: one may complete what another has begun after a second wipe. If that other then fails, the rings
// that were lost between come when they are due.
func (r *relay) startEpoch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	due, stands, err := r.makeAllDue(ctx)
	switch {
	case err != nil:
		r.warn(ctx, "cannot ring again for all that redis lost, will try again", err)
	case !stands:
		r.logger.LogAttrs(ctx, slog.LevelWarn, "redis was emptied again, will ring again for all that it lost")
	case due == 0:
		r.logger.LogAttrs(ctx, slog.LevelInfo, "redis is new to us")
	default:
		r.metrics.redisWipes.Inc()
		r.logger.LogAttrs(ctx, slog.LevelWarn, "redis is new or was emptied, all accepted requests are rung again",
			slog.Int64("requests", due))
	}
}

// makeAllDue says how many requests it made due, and whether Redis kept the epoch's mark meanwhile.
func (r *relay) makeAllDue(ctx context.Context) (due int64, stands bool, err error) {
	if err := r.redis.SetNX(ctx, epochKey, epochStarting, 0).Err(); err != nil {
		return 0, false, fmt.Errorf("begin an epoch: %w", err)
	}
	if due, err = r.ledger.MakeAllDue(ctx); err != nil {
		return due, false, err
	}
	if err := publishQueues(ctx, r.redis); err != nil {
		return due, false, err
	}
	if stands, err = r.redis.SetXX(ctx, epochKey, r.clock.Now().UTC().Format(time.RFC3339Nano), 0).Result(); err != nil {
		return due, false, fmt.Errorf("complete an epoch: %w", err)
	}
	return due, stands, nil
}

func (r *relay) warn(ctx context.Context, message string, err error) {
	if errors.Is(err, context.Canceled) {
		return // the worker stops
	}
	r.metrics.relayErrors.Inc()
	r.logger.LogAttrs(ctx, slog.LevelWarn, message, slog.String("error", err.Error()))
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

// lookAtParked wakes parked requests that no batch of their book will wake, some in each round until it has come to the last, and makes
// those dead that have waited as long as the policy allows. When it fails, ringing goes on.
func (r *relay) lookAtParked(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	now := r.clock.Now()
	if !now.Before(r.nextWake) {
		_, next, err := r.ledger.WakeStranded(ctx, r.parked, wakeMax)
		if err != nil {
			r.warn(ctx, "cannot wake parked requests, will try again", err)
		}
		if r.parked = next; err != nil || next == (ledger.ParkedRef{}) {
			r.nextWake = now.Add(parkedInterval)
		}
	}
	if !now.Before(r.nextLate) {
		r.nextLate = now.Add(parkedInterval)
		r.buryUnwoken(ctx)
	}
}

func (r *relay) buryUnwoken(ctx context.Context) {
	policy, _, err := r.reader.Policy(ctx)
	var buried int64
	if err == nil {
		buried, err = r.ledger.BuryUnwoken(ctx, time.Duration(policy.ParkHoursMax)*time.Hour, buryMax)
	}
	if err != nil {
		r.warn(ctx, "cannot look at parked requests, will try again", err)
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
