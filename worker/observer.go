package worker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/hibiken/asynq"

	"github.com/settled-dev/settled/internal/clock"
)

// observer is what asynq calls: it stands around the handler, counts, measures, logs one line per delivery, catches panics, and
// answers asynq by the class of what happened.
type observer struct {
	handler  *handler
	clock    clock.Clock
	metrics  *metrics
	logger   *slog.Logger
	inFlight sync.WaitGroup
}

// ProcessTask implements asynq.Handler.
func (o *observer) ProcessTask(ctx context.Context, task *asynq.Task) error {
	o.inFlight.Add(1)
	defer o.inFlight.Done()
	o.metrics.inFlight.Inc()
	defer o.metrics.inFlight.Dec()
	begun := o.clock.Now()
	d := newDelivery(ctx, task)
	err := o.guarded(ctx, d, task.Payload())
	o.report(ctx, d, err, o.clock.Now().Sub(begun).Seconds())
	return answer(d, err)
}

// guarded turns a panic into an error, and tells the requests' timelines of it.
func (o *observer) guarded(ctx context.Context, d *delivery, payload []byte) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
			o.handler.recordFailure(ctx, d.ring, err)
		}
	}()
	return o.handler.serve(ctx, d, payload)
}

// answer is what asynq is told.
func answer(d *delivery, err error) error {
	switch {
	case treatments[classOf(err)].ends:
		return nil
	case d.retried >= d.retriesMax:
		// asynq would archive the task, and forget it there one day (W2). Revoked, it ends; the relay rings again.
		return fmt.Errorf("%w: %w", asynq.RevokeTask, err)
	default:
		return err
	}
}

func (o *observer) report(ctx context.Context, d *delivery, err error, seconds float64) {
	became := classOf(err)
	kind := "unknown"
	if d.ring.Kind != "" {
		kind = string(d.ring.Kind)
	}
	o.metrics.tasks.WithLabelValues(kind, string(became)).Inc()
	o.metrics.seconds.WithLabelValues(kind).Observe(seconds)
	level := treatments[became].level
	if !o.logger.Enabled(ctx, level) {
		return
	}
	facts := []slog.Attr{
		slog.String("task_id", d.taskID), slog.String("task_type", shorten(d.taskType)), slog.String("queue", d.queue),
		slog.Int("attempt", d.retried+1), slog.Int("requests", len(d.ring.IDs)), slog.String("outcome", string(became)),
		slog.Float64("seconds", seconds),
	}
	if err != nil {
		facts = append(facts, slog.String("error", err.Error()))
	}
	if panicked := panicOf(err); panicked != nil {
		facts = append(facts, slog.String("stack", string(panicked.stack)))
	}
	o.logger.LogAttrs(ctx, level, "task delivered", facts...)
}

// shorten bounds a foreign text in a log line.
func shorten(text string) string {
	const shown = 64
	if len(text) > shown {
		return text[:shown]
	}
	return text
}
