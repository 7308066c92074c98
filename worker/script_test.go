package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/devstack/redistest"
)

// seenScripts is a Redis client that notes the keys of every script, and fails those that fail says.
type seenScripts struct {
	redis.UniversalClient
	fail func(keys []string) error

	mu   sync.Mutex
	keys [][]string
}

func (c *seenScripts) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	c.mu.Lock()
	c.keys = append(c.keys, keys)
	fail := c.fail
	c.mu.Unlock()
	if fail != nil {
		if err := fail(keys); err != nil {
			return redis.NewCmdResult(nil, err)
		}
	}
	return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

func (c *seenScripts) count(of script) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, keys := range c.keys {
		if scriptOf(keys) == of {
			n++
		}
	}
	return n
}

// TestScriptsOfAsynqAreTold runs a task through every end that asynq knows and checks that each script is told by its keys. It fails
// when a new version of asynq changes a shape that hardenedRedis, doneCombiner or idleWait rely on.
func TestScriptsOfAsynqAreTold(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	seen := &seenScripts{UniversalClient: client}
	blocked, release := make(chan struct{}), make(chan struct{})
	server := asynq.NewServerFromRedisClient(seen, asynq.Config{Concurrency: 8, Queues: map[string]int{"refunds": 1},
		TaskCheckInterval: 10 * time.Millisecond, DelayedTaskCheckInterval: 10 * time.Millisecond, JanitorInterval: 10 * time.Millisecond,
		RetryDelayFunc:  func(int, error, *asynq.Task) time.Duration { return time.Hour },
		ShutdownTimeout: 10 * time.Millisecond, Logger: asynqLog{discard}})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch task.Type() {
		case "fails":
			return errors.New("later")
		case "archived":
			return asynq.SkipRetry
		case "blocks":
			close(blocked)
			<-release
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	producer := asynq.NewClientFromRedisClient(client)
	for _, taskType := range []string{"done", "fails", "archived", "kept", "blocks"} {
		options := []asynq.Option{asynq.Queue("refunds"), asynq.MaxRetry(3)}
		if taskType == "kept" {
			options = append(options, asynq.Retention(time.Hour))
		}
		if _, err := producer.EnqueueContext(t.Context(), asynq.NewTask(taskType, nil), options...); err != nil {
			t.Fatal(err)
		}
	}
	<-blocked
	for _, want := range []script{scriptDone, scriptRetry, scriptArchive, scriptComplete, scriptForward, scriptRecover, scriptJanitor} {
		eventually(t, string(want)+" was run", func() bool { return seen.count(want) > 0 })
	}
	server.Shutdown() // gives the blocked task back
	close(release)
	for _, want := range []script{scriptDequeue, scriptRequeue, scriptHeartbeat} {
		if seen.count(want) == 0 {
			t.Errorf("no script was told as %s", want)
		}
	}
	for _, want := range []script{scriptDone, scriptRetry, scriptArchive, scriptComplete, scriptRequeue} {
		if got := seen.count(want); got != 1 {
			t.Errorf("%d scripts were told as %s, want 1", got, want)
		}
	}
	for _, keys := range seen.keys {
		if scriptOf(keys) == scriptOther && !strings.HasSuffix(keys[0], ":aggregation_sets") {
			t.Errorf("script with keys %q is not told", keys)
		}
	}
}

// TestQueueKeysAreAsynqs pins the keys that the collector counts.
func TestQueueKeysAreAsynqs(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	producer := asynq.NewClientFromRedisClient(client)
	for _, options := range [][]asynq.Option{{}, {asynq.ProcessIn(time.Hour)}, {asynq.TaskID("dead")}} {
		if _, err := producer.EnqueueContext(t.Context(), asynq.NewTask("x", nil), append(options, asynq.Queue("refunds"))...); err != nil {
			t.Fatal(err)
		}
	}
	inspector := asynq.NewInspectorFromRedisClient(client)
	if err := inspector.ArchiveTask("refunds", "dead"); err != nil {
		t.Fatal(err)
	}
	if err := inspector.PauseQueue("refunds"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int64{
		"pending": client.LLen(t.Context(), "asynq:{refunds}:pending").Val(), "scheduled": client.ZCard(t.Context(), "asynq:{refunds}:scheduled").Val(),
		"archived": client.ZCard(t.Context(), "asynq:{refunds}:archived").Val(), "paused": client.Exists(t.Context(), "asynq:{refunds}:paused").Val(),
	} {
		if want != 1 {
			t.Errorf("%s has %d entries, want 1", key, want)
		}
	}
	id := client.LIndex(t.Context(), "asynq:{refunds}:pending", -1).Val()
	if client.HGet(t.Context(), "asynq:{refunds}:t:"+id, "pending_since").Val() == "" {
		t.Error("asynq does not say since when a task is pending")
	}
}
