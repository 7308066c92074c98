package worker

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// enqueueRaw puts a foreign task into the queue of criticals.
func (s *stack) enqueueRaw(t *testing.T, taskType string, payload []byte) {
	t.Helper()
	if _, err := asynq.NewClientFromRedisClient(s.redis).EnqueueContext(t.Context(), asynq.NewTask(taskType, payload),
		asynq.Queue("critical"), asynq.MaxRetry(25), asynq.Timeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func TestStraysAreRecordedAndBlockNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	strays := []struct {
		name, taskType string
		payload        []byte
	}{
		{"no JSON", "recharge:confirm", []byte("\x00\xff{")},
		{"empty", "recharge:confirm", nil},
		{"no version", "recharge:confirm", []byte(`{"book":0,"ids":["` + uuid.NewString() + `"]}`)},
		{"no ids", "recharge:confirm", []byte(`{"v":1,"book":0,"ids":[]}`)},
		{"bad id", "recharge:confirm", []byte(`{"v":1,"book":0,"ids":["x"]}`)},
		{"large", "recharge:confirm", bytes.Repeat([]byte("x"), 10<<20)},
		{"unknown type", "recharge:confirmed", []byte(`{"v":1}`)},
		{"type of another program", "email:\n\x00welcome", []byte(`{}`)},
		{"unknown id", "recharge:confirm", fmt.Appendf(nil, `{"v":1,"book":1,"ids":[%q]}`, uuid.New())},
		{"unknown book", "recharge:confirm", fmt.Appendf(nil, `{"v":1,"book":999,"ids":[%q]}`, uuid.New())},
		{"negative book", "recharge:confirm", fmt.Appendf(nil, `{"v":1,"book":-1,"ids":[%q]}`, uuid.New())},
	}
	for _, stray := range strays {
		s.enqueueRaw(t, stray.taskType, stray.payload)
	}
	s.accept(t, recharge("r1", "u1", 100))
	w := s.startWorker(t, func(c *Config) { c.Concurrency = 1 })
	eventually(t, "the good request is applied", func() bool { return s.pending(t) == 0 })
	eventually(t, "every stray is recorded", func() bool { return s.count(t, "SELECT count(*) FROM strays") >= len(strays) })
	eventually(t, "no task is left", func() bool { return len(s.redis.Keys(t.Context(), "asynq:{critical}:t:*").Val()) == 0 })
	if got := s.count(t, "SELECT count(*) FROM strays WHERE problem <> '' AND task_id <> '' AND queue = 'critical'"); got != len(strays) {
		t.Errorf("%d strays are recorded in full, want %d", got, len(strays))
	}
	counted := testutil.ToFloat64(w.metrics.tasks.WithLabelValues("unknown", "stray")) +
		testutil.ToFloat64(w.metrics.tasks.WithLabelValues("recharge:confirm", "stray"))
	if int(counted) != len(strays) {
		t.Errorf("%v strays were counted, want %d", counted, len(strays))
	}
}

// acceptUnrung accepts a request for which nobody rings.
func (s *stack) acceptUnrung(t *testing.T, payload tasks.Payload) tasks.Receipt {
	t.Helper()
	silent, err := tasks.NewClient(t.Context(), s.db.Pool, nil, tasks.ClientConfig{Producer: "silent", RingAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	receipt, err := silent.Enqueue(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func TestUnknownIDDoesNotKeepItsNeighbours(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	receipt := s.acceptUnrung(t, recharge("r1", "u1", 100))
	s.startWorker(t, func(c *Config) { c.RelayInterval = -1 })
	s.enqueueRaw(t, "recharge:confirm", fmt.Appendf(nil, `{"v":1,"book":%d,"ids":[%q,%q]}`, receipt.Book, uuid.New(), receipt.ID))
	eventually(t, "the stored request is applied", func() bool { return s.pending(t) == 0 })
	eventually(t, "the unknown one is recorded", func() bool { return s.count(t, "SELECT count(*) FROM strays") == 1 })
}

func TestRingOfAnotherKindAppliesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	receipt := s.acceptUnrung(t, refundOrders(1)[0])
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}
	s.startWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.RelayInterval = -1
	})
	s.enqueueRaw(t, "payment:capture", fmt.Appendf(nil, `{"v":1,"book":%d,"ids":[%q]}`, receipt.Book, receipt.ID))
	eventually(t, "the ring is recorded", func() bool { return s.count(t, "SELECT count(*) FROM strays") == 1 })
	if s.pending(t) != 1 || s.outcomesOf(t, tasks.RefundSend) != 0 {
		t.Error("a refund is applied whose channel was not asked")
	}
	s.enqueueRaw(t, "refund:send", fmt.Appendf(nil, `{"v":1,"book":%d,"ids":[%q]}`, receipt.Book, receipt.ID))
	eventually(t, "its own ring applies it", func() bool { return s.outcomesOf(t, tasks.RefundSend) == 1 })
	scripted.mu.Lock()
	defer scripted.mu.Unlock()
	if len(scripted.calls) != 1 {
		t.Errorf("its channel heard %v, want one refund", scripted.calls)
	}
}

func TestRingOfANewerVersionWaitsForANewerWorker(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	receipt := s.acceptUnrung(t, recharge("r1", "u1", 100))
	w := s.startWorker(t, func(c *Config) { c.RelayInterval = -1 })
	s.enqueueRaw(t, "recharge:confirm", fmt.Appendf(nil, `{"v":2,"books":[{"book":%d,"ids":[%q]}]}`, receipt.Book, receipt.ID))
	inspector := asynq.NewInspectorFromRedisClient(s.redis)
	eventually(t, "the ring is kept", func() bool { return s.redis.ZCard(t.Context(), "asynq:{critical}:retry").Val() == 1 })
	kept, err := inspector.ListRetryTasks("critical")
	if err != nil || len(kept) != 1 || kept[0].Retried != 0 {
		t.Fatalf("kept are %v, %v; want one task with no retry counted", kept, err)
	}
	if got := testutil.ToFloat64(w.metrics.tasks.WithLabelValues("unknown", "newer")); got != 1 {
		t.Errorf("%v newer rings were counted, want 1", got)
	}
	if got := s.pending(t); got != 1 {
		t.Errorf("%d requests are pending, want the one of the newer ring", got)
	}
	stopWorker(t, w)
	// A newer worker reads what this one could not: for it the ring says what a ring of version 1 would.
	s.startNewerWorker(t, tasks.Ring{Kind: tasks.RechargeConfirm, Book: receipt.Book, IDs: []uuid.UUID{receipt.ID}})
	if err := inspector.RunTask("critical", kept[0].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the newer worker applies it", func() bool { return s.pending(t) == 0 })
}

// startNewerWorker starts a server whose handler understands every task as the given ring.
func (s *stack) startNewerWorker(t *testing.T, ring tasks.Ring) {
	t.Helper()
	understood, err := ring.Task()
	if err != nil {
		t.Fatal(err)
	}
	w := s.newWorker(t, nil)
	server := asynq.NewServerFromRedisClient(s.redis, asynq.Config{Concurrency: 1, Queues: map[string]int{"critical": 1},
		TaskCheckInterval: time.Millisecond, Logger: asynqLog{discard}})
	if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		return w.observer.ProcessTask(ctx, understood)
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
}

func TestKindWithoutARuleWaitsForANewerWorker(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRules(grantOrDie()), func(s *stackSettings) { s.client.RingAfter = time.Hour })
	s.startWorker(t, nil)
	receipts := s.accept(t, recharge("r1", "u1", 100))
	// The relay of a worker that meets an empty Redis for the first time may ring as well.
	eventually(t, "the ring is kept", func() bool { return s.redis.ZCard(t.Context(), "asynq:{critical}:retry").Val() >= 1 })
	newer, err := ledger.Open(t.Context(), s.pool, ledger.Config{Rules: rules.All()})
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	answers, err := newer.Apply(t.Context(), receipts[0].Book, receipts[0].ID)
	if err != nil || answers[0].Fate != ledger.Decided {
		t.Errorf("a worker with the rule says %v, %v; want decided", answers, err)
	}
}
