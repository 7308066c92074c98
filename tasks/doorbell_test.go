package tasks_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/tasks"
)

// eventually waits until done says so. It asks often, because nothing tells it when.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := clock.System.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func openRedis(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(redistest.New(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// bellsOf makes n bells of a kind and book.
func bellsOf(n int, kind tasks.Kind, book int) []tasks.Bell {
	bells := make([]tasks.Bell, n)
	for i := range bells {
		bells[i] = tasks.Bell{Kind: kind, Book: book, ID: uuid.New()}
	}
	return bells
}

func inspect(t *testing.T, client *redis.Client) *asynq.Inspector {
	t.Helper()
	return asynq.NewInspectorFromRedisClient(client)
}

// pendingRings reads what waits in all queues.
func pendingRings(t *testing.T, client *redis.Client) []tasks.Ring {
	t.Helper()
	var rings []tasks.Ring
	inspector := inspect(t, client)
	queues, err := inspector.Queues()
	if err != nil {
		t.Fatal(err)
	}
	for _, queue := range queues {
		waiting, err := inspector.ListPendingTasks(queue, asynq.PageSize(10_000))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range waiting {
			ring, err := tasks.ParseRing(task.Type, task.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if string(ring.Kind.Queue()) != queue {
				t.Errorf("a ring of %s waits in queue %s", ring.Kind, queue)
			}
			rings = append(rings, ring)
		}
	}
	return rings
}

// expectRungOnce fails the test unless the rings name each of the bells once, and each ring requests of one book and kind.
func expectRungOnce(t *testing.T, rings []tasks.Ring, bells []tasks.Bell) {
	t.Helper()
	rung := map[tasks.Bell]int{}
	for _, ring := range rings {
		for _, id := range ring.IDs {
			rung[tasks.Bell{Kind: ring.Kind, Book: ring.Book, ID: id}]++
		}
	}
	for _, bell := range bells {
		if rung[bell] != 1 {
			t.Fatalf("%s %s of book %d is rung %d times", bell.Kind, bell.ID, bell.Book, rung[bell])
		}
	}
	if len(rung) != len(bells) {
		t.Errorf("%d requests are rung for, want %d", len(rung), len(bells))
	}
}

// The doorbell sends what asynq recorded instead of what asynq sends. This pins that both leave the same behind: an update of asynq
// that changes its scripts fails here.
func TestPipelinedRingsAreWhatAsynqItselfEnqueues(t *testing.T) {
	t.Parallel()
	ours, theirs := openRedis(t), openRedis(t)
	bell := tasks.Bell{Kind: tasks.RefundApply, Book: 2, ID: uuid.New()}
	if err := tasks.NewDoorbell(ours).Ring(t.Context(), []tasks.Bell{bell}, 500, true); err != nil {
		t.Fatal(err)
	}
	task, err := tasks.Ring{Kind: bell.Kind, Book: bell.Book, IDs: []uuid.UUID{bell.ID}, Again: true}.Task()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asynq.NewClientFromRedisClient(theirs).EnqueueContext(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	var infos [2]*asynq.TaskInfo
	var fields [2][]string
	for i, client := range []*redis.Client{ours, theirs} {
		waiting, err := inspect(t, client).ListPendingTasks(string(tasks.Refunds))
		if err != nil || len(waiting) != 1 {
			t.Fatalf("%d tasks wait (%v)", len(waiting), err)
		}
		infos[i] = waiting[0]
		hash := client.HGetAll(t.Context(), "asynq:{refunds}:t:"+waiting[0].ID).Val()
		for name := range hash {
			fields[i] = append(fields[i], name)
		}
		slices.Sort(fields[i])
		keys := client.Keys(t.Context(), "*").Val()
		if len(keys) != 3 {
			t.Errorf("keys are %q, want the queues, the list and the task", keys)
		}
	}
	if diff := cmp.Diff(infos[1], infos[0], cmpopts.IgnoreFields(asynq.TaskInfo{}, "ID", "NextProcessAt")); diff != "" {
		t.Errorf("task (-asynq +doorbell):\n%s", diff)
	}
	if diff := cmp.Diff(fields[1], fields[0]); diff != "" {
		t.Errorf("fields in Redis (-asynq +doorbell):\n%s", diff)
	}
	if infos[0].MaxRetry != tasks.RingRetriesMax || infos[0].Timeout != tasks.RingTimeout || infos[0].Retention != 0 {
		t.Errorf("options are %+v", infos[0])
	}
}

func TestAsynqServersReceiveEveryRing(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	var bells []tasks.Bell
	for book, kind := range []tasks.Kind{tasks.PaymentCapture, tasks.RefundApply, tasks.SweepRun, tasks.RewardGrant} {
		bells = append(bells, bellsOf(25, kind, book)...)
	}
	var mu sync.Mutex
	var received []tasks.Ring
	done := make(chan struct{})
	queues := map[string]int{}
	for _, queue := range tasks.Queues() {
		queues[string(queue)] = 1
	}
	server := asynq.NewServerFromRedisClient(client, asynq.Config{Queues: queues, TaskCheckInterval: 10 * time.Millisecond,
		LogLevel: asynq.FatalLevel, Concurrency: 4})
	err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		ring, err := tasks.ParseRing(task.Type(), task.Payload())
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if received = append(received, ring); len(received) == 12 {
			close(done)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	if err := tasks.NewDoorbell(client).Ring(t.Context(), bells, 10, false); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-clock.System.After(30 * time.Second):
		t.Fatalf("received %d rings, want 12", len(received))
	}
	mu.Lock()
	defer mu.Unlock()
	expectRungOnce(t, received, bells)
}

func TestRingsHoldOneBookAndKindAndNoMoreThanTheirSize(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	var bells []tasks.Bell
	for i := range 90 {
		bells = append(bells, bellsOf(1, []tasks.Kind{tasks.RefundApply, tasks.RechargeConfirm, tasks.WealthEnrol}[i%3], i%2)...)
	}
	if err := tasks.NewDoorbell(client).Ring(t.Context(), bells, 7, true); err != nil {
		t.Fatal(err)
	}
	rings := pendingRings(t, client)
	expectRungOnce(t, rings, bells)
	if len(rings) != 6*3 {
		t.Errorf("%d rings for six groups of 15 in sevens, want 18", len(rings))
	}
	for _, ring := range rings {
		if len(ring.IDs) > 7 || !ring.Again {
			t.Errorf("ring is %+v", ring)
		}
	}
}

// A restarted Redis has forgotten asynq's script. The pipeline then runs nothing, and everything is sent once all the same.
func TestRedisThatForgotItsScriptsGetsEveryRingOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 5} {
		t.Run(fmt.Sprint(n, " rings"), func(t *testing.T) {
			t.Parallel()
			client := openRedis(t)
			bell := tasks.NewDoorbell(client)
			var all []tasks.Bell
			for range 3 {
				bells := bellsOf(n, tasks.RefundApply, 1)
				all = append(all, bells...)
				if err := client.ScriptFlush(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				if err := bell.Ring(t.Context(), bells, 1, false); err != nil {
					t.Fatal(err)
				}
			}
			expectRungOnce(t, pendingRings(t, client), all)
		})
	}
}

// asynq's client names a queue to the inspector once in its life. A wiped Redis is told again.
func TestQueuesAreVisibleAgainAfterRedisWasWiped(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	bell := tasks.NewDoorbell(client)
	for range 2 {
		bells := append(bellsOf(2, tasks.RefundApply, 0), bellsOf(2, tasks.PaymentCapture, 0)...)
		if err := bell.Ring(t.Context(), bells, 500, false); err != nil {
			t.Fatal(err)
		}
		queues, err := inspect(t, client).Queues()
		slices.Sort(queues)
		if err != nil || !slices.Equal(queues, []string{"critical", "refunds"}) {
			t.Fatalf("the inspector sees the queues %q (%v)", queues, err)
		}
		expectRungOnce(t, pendingRings(t, client), bells)
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyMayRingAtOnce(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	bell := tasks.NewDoorbell(client)
	var all []tasks.Bell
	var ringing sync.WaitGroup
	for i := range 16 {
		bells := bellsOf(20, tasks.Kinds()[i%len(tasks.Kinds())], i%3)
		all = append(all, bells...)
		ringing.Go(func() {
			for chunk := range slices.Chunk(bells, 4) {
				if err := bell.Ring(t.Context(), chunk, 2, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ringing.Wait()
	expectRungOnce(t, pendingRings(t, client), all)
}

func TestRingingADeadRedisIsAnErrorWithinTheCallersTime(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries, options.DialerRetries = -1, 1
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	bell := tasks.NewDoorbell(client)
	if err := bell.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := bell.Ping(t.Context()); err == nil {
		t.Error("a dead Redis answers")
	}
	if err := bell.Ring(t.Context(), bellsOf(1, tasks.RefundApply, 0), 500, false); err == nil {
		t.Error("a dead Redis takes rings")
	}
	if err := bell.Ring(t.Context(), nil, 500, false); err != nil {
		t.Errorf("nothing to ring for: %v", err)
	}
}
