package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/tasks"
)

// startAsynq starts one server over a client, with a handler that counts its runs.
func startAsynq(t *testing.T, client redis.UniversalClient, runs *atomic.Int64) *asynq.Server {
	t.Helper()
	server := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: 8, Queues: map[string]int{"refunds": 1},
		TaskCheckInterval: time.Millisecond, ShutdownTimeout: time.Second, Logger: asynqLog{discard}})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		runs.Add(1)
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

func ringFor(t *testing.T, client *redis.Client, n int) {
	t.Helper()
	bells := make([]tasks.Bell, n)
	for i := range bells {
		bells[i].Kind = tasks.RefundApply
	}
	if err := tasks.NewDoorbell(client).Ring(t.Context(), bells, 1, false); err != nil {
		t.Fatal(err)
	}
}

func TestTaskWhoseDoneFailedRunsOnce(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	var failed atomic.Int64
	broken := &seenScripts{UniversalClient: client, fail: func(keys []string) error {
		if scriptOf(keys) == scriptDone && failed.Add(1) == 1 {
			return errors.New("connection reset")
		}
		return nil
	}}
	var runs atomic.Int64
	m := newMetrics(nil)
	startAsynq(t, &hardenedRedis{UniversalClient: broken, metrics: m}, &runs)
	ringFor(t, client, 1)
	// asynq's syncer replays every five seconds. Unmended, each replay fails until the lease ends, and the task runs again.
	eventually(t, "the replay takes the task out of Redis", func() bool {
		return runs.Load() > 0 && client.LLen(t.Context(), "asynq:{refunds}:active").Val() == 0
	})
	if got := failed.Load(); got != 2 {
		t.Errorf("done was tried %d times, want 2", got)
	}
	if got := runs.Load(); got != 1 {
		t.Errorf("the task ran %d times, want 1", got)
	}
	if left := client.Keys(t.Context(), "asynq:{refunds}:t:*").Val(); len(left) > 0 {
		t.Errorf("tasks are left that can run again: %q", left)
	}
	if got := testutil.ToFloat64(m.redisErrors.WithLabelValues("done", "connection")); got != 1 {
		t.Errorf("%v errors of done were counted, want 1", got)
	}
}

func TestServersPauseWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	client := openRedis(t, server)
	seen := &seenScripts{UniversalClient: client}
	m := newMetrics(nil)
	var runs atomic.Int64
	startAsynq(t, &hardenedRedis{UniversalClient: seen, metrics: m}, &runs)
	errorsOf := func() float64 { return testutil.ToFloat64(m.redisErrors.WithLabelValues("dequeue", "connection")) }
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a dequeue fails", func() bool { return errorsOf() > 0 })
	begun, before := clock.System.Now(), errorsOf()
	eventually(t, "five more dequeues fail", func() bool { return errorsOf() >= before+5 })
	if took := clock.System.Now().Sub(begun); took < 4*dequeuePause {
		t.Errorf("five dequeues failed within %s, want a pause of %s before each", took, dequeuePause)
	}
	if err := server.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	ringFor(t, client, 3)
	eventually(t, "tasks run again", func() bool { return runs.Load() == 3 })
}

func TestCausesOfRedisErrorsAreTold(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	missing := client.Eval(t.Context(), `return redis.error_reply("NOT FOUND")`, nil).Err()
	refused := client.Eval(t.Context(), `return redis.error_reply("READONLY you cannot write")`, nil).Err()
	noScript := client.EvalSha(t.Context(), "ffffffffffffffffffffffffffffffffffffffff", nil).Err()
	for err, want := range map[error]redisCause{
		nil: causeNone, redis.Nil: causeNone, noScript: causeNone, missing: causeMissing, refused: causeRefused,
		context.DeadlineExceeded: causeConnection, redis.ErrPoolTimeout: causeConnection,
	} {
		if got := causeOf(err); got != want {
			t.Errorf("cause of %v is %q, want %q", err, got, want)
		}
	}
}

func TestOnlyServersContextsAreReplaced(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	hardened := &hardenedRedis{UniversalClient: client, metrics: newMetrics(nil)}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hardened.Eval(cancelled, "return 1", nil).Err(); err != nil {
		t.Errorf("a replay with a cancelled context failed: %v", err)
	}
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if err := hardened.Eval(expired, "return 1", nil).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call whose time is up returned %v, want its deadline", err)
	}
}

func TestScriptThatFindsItsTaskGoneIsNotReplayed(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	m := newMetrics(nil)
	hardened := &hardenedRedis{UniversalClient: client, metrics: m}
	if err := hardened.Eval(t.Context(), `return redis.error_reply("NOT FOUND")`, doneKeys()).Err(); err != nil {
		t.Errorf("done of a task that is gone returned %v, want success", err)
	}
	if got := testutil.ToFloat64(m.redisErrors.WithLabelValues("done", "missing")); got != 1 {
		t.Errorf("%v missing tasks were counted, want 1", got)
	}
}
