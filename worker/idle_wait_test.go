package worker

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/devstack/redistest"
)

// startIdle starts a server that practically never polls: what it picks up, it waited for.
func startIdle(t *testing.T, client redis.UniversalClient, ran chan<- string) *asynq.Server {
	t.Helper()
	server := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: 1, Queues: map[string]int{"refunds": 1},
		TaskCheckInterval: 2 * time.Second, ShutdownTimeout: time.Second, Logger: asynqLog{discard}})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		ran <- string(task.Payload())
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	return server
}

func TestIdleServerIsWokenAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	idle := newIdleWait(client)
	ran := make(chan string, 100)
	server := startIdle(t, idle, ran)
	defer server.Shutdown()
	defer idle.close()
	eventually(t, "the server waits", func() bool { return blockedClients(t, client) == 1 })
	producer := asynq.NewClientFromRedisClient(client)
	for _, payload := range []string{"a", "b", "c"} {
		if _, err := producer.EnqueueContext(t.Context(), asynq.NewTask("x", []byte(payload)), asynq.Queue("refunds")); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-ran + <-ran + <-ran; got != "abc" {
		t.Errorf("tasks ran in the order %s", got)
	}
	eventually(t, "the server waits again", func() bool { return blockedClients(t, client) == 1 })
}

func TestWaitingServerStopsSoon(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	idle := newIdleWait(client)
	server := startIdle(t, idle, nil)
	eventually(t, "the server waits", func() bool { return blockedClients(t, client) == 1 })
	idle.close()
	eventually(t, "the server does not wait any more", func() bool { return blockedClients(t, client) == 0 })
	server.Shutdown()
}

func TestOneServerOfAQueueWaits(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	idle := newIdleWait(client)
	if !idle.begin("asynq:{refunds}:pending") || !idle.begin("asynq:{low}:pending") {
		t.Fatal("the first server of a queue does not wait")
	}
	if idle.begin("asynq:{refunds}:pending") {
		t.Error("a second server of the queue waits")
	}
	idle.end("asynq:{refunds}:pending")
	if !idle.begin("asynq:{refunds}:pending") {
		t.Error("nobody waits after the first has ended")
	}
	idle.close()
	if idle.begin("asynq:{sweeps}:pending") {
		t.Error("somebody waits after the end")
	}
}

func TestIdleWaitGivesWayToARedisThatRefusesIt(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	idle := newIdleWait(client)
	if err := client.Do(t.Context(), "ACL", "SETUSER", "default", "-blmove").Err(); err != nil {
		t.Fatal(err)
	}
	if err := dequeueNothing(t, client, idle); !errors.Is(err, redis.Nil) {
		t.Errorf("dequeue returned %v, want that nothing is there", err)
	}
	if !idle.isClosed() {
		t.Error("the refused command is asked again")
	}
}

func TestIdleWaitOutlivesARedisThatEndsItByAnError(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	idle := newIdleWait(client)
	ended := make(chan error, 1)
	go func() { ended <- dequeueNothing(t, client, idle) }()
	eventually(t, "the server waits", func() bool { return blockedClients(t, client) == 1 })
	// A primary that becomes a replica ends its clients' waits by the same error.
	waiting := blocked.FindStringSubmatch(client.ClientList(t.Context()).Val())
	if err := client.Do(t.Context(), "CLIENT", "UNBLOCK", waiting[1], "ERROR").Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !redis.HasErrorPrefix(err, "UNBLOCKED") {
		t.Errorf("dequeue returned %v, want what Redis said", err)
	}
	if idle.isClosed() {
		t.Error("nobody waits any more after one error")
	}
}

// dequeueNothing asks as asynq does for the next task of an empty queue.
func dequeueNothing(t *testing.T, client *redis.Client, idle *idleWait) error {
	keys := []string{"asynq:{refunds}:pending", "asynq:{refunds}:paused", "asynq:{refunds}:active", "asynq:{refunds}:lease"}
	return idle.EvalSha(t.Context(), client.ScriptLoad(t.Context(), "return nil").Val(), keys).Err()
}

// blocked finds the ids of clients that wait inside Redis.
var blocked = regexp.MustCompile(`(?m)^id=(\d+) .* flags=\w*b\w*`)

func blockedClients(t *testing.T, client *redis.Client) int {
	t.Helper()
	return len(blocked.FindAllString(client.ClientList(t.Context()).Val(), -1))
}
