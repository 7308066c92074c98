package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Numbers of the mended client.
const (
	// replayTimeout bounds a replay whose own context is gone; go-redis gives up a silent server after about as long.
	// A `done` has doneTimeout instead.
	replayTimeout = 3 * time.Second
	// dequeuePause is how long a failed dequeue waits before asynq may try again: asynq itself waits not at all, and was seen to
	// try 143,000 times a second while Redis was down. Ten tries a second find a Redis that is back soon enough.
	dequeuePause = 100 * time.Millisecond
)

// hardenedRedis is the Redis client of asynq's servers, and only of theirs. It mends three faults of asynq v0.26:
//
//   - A task whose `done`, `retry` or `archive` failed is handed to asynq's syncer, which replays it with a context that was
//     cancelled long ago, fails, and lets the task run again a minute later. Here a cancelled context is replaced. On a server only
//     the syncer's replay arrives cancelled; a producer's client must honour its context, and does not use this type.
//   - A failing dequeue is repeated without a pause. Here it pauses.
//   - A script that finds its task gone, because Redis was wiped or an earlier reply was lost, is replayed in vain until the lease
//     ends, with an error in the log each time. Nothing is left to do for such a task: here that is success.
//
// It may be used by many goroutines at once.
type hardenedRedis struct {
	redis.UniversalClient
	metrics *metrics
}

// EvalSha runs a script by its hash.
func (c *hardenedRedis) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, func(ctx context.Context) *redis.Cmd { return c.UniversalClient.EvalSha(ctx, sha, keys, args...) })
}

// Eval runs a script by its text, when Redis has forgotten its hash.
func (c *hardenedRedis) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, func(ctx context.Context) *redis.Cmd { return c.UniversalClient.Eval(ctx, text, keys, args...) })
}

func (c *hardenedRedis) run(ctx context.Context, keys []string, eval func(context.Context) *redis.Cmd) *redis.Cmd {
	if errors.Is(ctx.Err(), context.Canceled) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), replayTimeout)
		defer cancel()
	}
	reply := eval(ctx)
	cause := causeOf(reply.Err())
	if cause == causeNone {
		return reply
	}
	ran := scriptOf(keys)
	c.metrics.redisErrors.WithLabelValues(string(ran), string(cause)).Inc()
	switch {
	case ran == scriptDequeue:
		pause(ctx, dequeuePause+rand.N(dequeuePause))
	case cause == causeMissing:
		return redis.NewCmdResult("OK", nil)
	}
	return reply
}

// redisCause says why a script failed: a closed set, because it labels a metric.
type redisCause string

const (
	causeNone redisCause = ""
	// causeMissing: the task was not where asynq expected it. Redis was wiped, or the reply to an earlier try was lost.
	causeMissing redisCause = "missing"
	// causeRefused: Redis answered with an error: it is read-only, loading, or full.
	causeRefused redisCause = "refused"
	// causeConnection: Redis did not answer.
	causeConnection redisCause = "connection"
)

func causeOf(err error) redisCause {
	switch {
	case err == nil, errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "NOSCRIPT"):
		return causeNone
	case strings.Contains(err.Error(), "NOT FOUND"):
		return causeMissing
	case isRedisReply(err):
		return causeRefused
	default:
		return causeConnection
	}
}

// isRedisReply says that Redis answered, with an error.
func isRedisReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isRedisOutage says that Redis did not do what it was asked: it is away, starting, read-only or full, or all connections are busy.
func isRedisOutage(err error) bool {
	return isRedisReply(err) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) ||
		errors.Is(err, redis.ErrClosed)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
