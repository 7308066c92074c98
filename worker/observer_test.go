package worker

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// logBook keeps the lines of a logger.
type logBook struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// with returns the lines with a message.
func (l *logBook) with(t *testing.T, message string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]any
	for line := range strings.Lines(l.lines.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

func TestEachDeliveryIsOneLine(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	var book logBook
	s.startWorker(t, func(c *Config) { c.Logger, c.RelayInterval = book.logger(), -1 })
	s.accept(t, recharge("r1", "u1", 100), recharge("r2", "u1", 100))
	s.eventuallyDecided(t, 2)
	eventually(t, "the delivery is logged", func() bool { return len(book.with(t, "task delivered")) == 1 })
	line := book.with(t, "task delivered")[0]
	for name, want := range map[string]any{"level": "INFO", "task_type": "recharge:confirm", "queue": "critical", "attempt": 1.0,
		"requests": 2.0, "outcome": "done"} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	if id, _ := line["task_id"].(string); id == "" {
		t.Error("the line names no task")
	}
	if seconds, _ := line["seconds"].(float64); seconds <= 0 {
		t.Errorf("the delivery took %v seconds", line["seconds"])
	}
}

func TestPanicOfAHandlerIsABugAndTheTaskComesAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	var book logBook
	w := s.newWorker(t, func(c *Config) { c.Logger = book.logger() })
	w.observer.handler.gate = nil
	task, err := ringOf(s.accept(t, recharge("r1", "u1", 100))).Task()
	if err != nil {
		t.Fatal(err)
	}
	err = w.observer.ProcessTask(t.Context(), asynq.NewTask(task.Type(), task.Payload()))
	if classOf(err) != classBug {
		t.Errorf("a panic is %s: %v", classOf(err), err)
	}
	if got := testutil.ToFloat64(w.metrics.tasks.WithLabelValues("recharge:confirm", "bug")); got != 1 {
		t.Errorf("%v bugs were counted, want 1", got)
	}
	if got := s.count(t, "SELECT count(*) FROM attempts WHERE event = 'failed' AND detail LIKE '%panicked%'"); got != 1 {
		t.Errorf("the bug is %d times on the request's timeline, want once", got)
	}
	line := book.with(t, "task delivered")[0]
	if stack, _ := line["stack"].(string); line["level"] != "ERROR" || !strings.Contains(stack, "handler") {
		t.Errorf("the bug's line is %v", line)
	}
}

func TestRedisThatEvictsIsReported(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	if err := s.redis.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	var book logBook
	s.startWorker(t, func(c *Config) { c.Logger = book.logger() })
	eventually(t, "it is reported", func() bool {
		return len(book.with(t, "redis evicts keys when it is full; set maxmemory-policy to noeviction")) == 1
	})
}
