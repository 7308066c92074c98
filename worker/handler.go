package worker

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// handler serves rings. It may be used by many goroutines at once, and for one ring twice at the same time.
type handler struct {
	ledger    *ledger.Ledger
	bell      *tasks.Doorbell
	sender    *sender
	gate      *outageGate
	startsMax int
	alone     chan struct{} // holds one: the suspect that runs alone
	metrics   *metrics
}

// delivery is one handing-out of a task.
type delivery struct {
	taskID     string
	taskType   string
	queue      string
	retried    int // earlier deliveries that counted; see treatment.counts
	retriesMax int
	ring       tasks.Ring // zero when the task is no ring
}

func newDelivery(ctx context.Context, task *asynq.Task) *delivery {
	d := &delivery{taskType: task.Type()}
	d.taskID, _ = asynq.GetTaskID(ctx)
	d.queue, _ = asynq.GetQueueName(ctx)
	d.retried, _ = asynq.GetRetryCount(ctx)
	d.retriesMax, _ = asynq.GetMaxRetry(ctx)
	return d
}

// serve has the ring's requests applied. classOf its error decides what becomes of the task.
func (h *handler) serve(ctx context.Context, d *delivery, payload []byte) error {
	ring, err := tasks.ParseRing(d.taskType, payload)
	if err != nil {
		return h.setAside(ctx, d, err, string(payload))
	}
	d.ring = ring
	answers, err := h.applyRing(ctx, d)
	if err != nil {
		h.recordFailure(ctx, ring, err)
		return err
	}
	return h.conclude(ctx, d, answers)
}

func (h *handler) applyRing(ctx context.Context, d *delivery) ([]ledger.Answer, error) {
	switch {
	case d.ring.Kind == tasks.RefundSend:
		slices.SortFunc(d.ring.IDs, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		d.ring.IDs = slices.Compact(d.ring.IDs) // one that is named twice would be asked for twice at the same time
		return h.sendRefunds(ctx, d.ring)
	case d.retried > 0 || d.ring.Again:
		return h.applySuspects(ctx, d)
	default:
		return h.apply(ctx, d.ring)
	}
}

// apply hands a ring's requests to the ledger. While PostgreSQL is away it holds them, until ctx ends or the worker stops.
func (h *handler) apply(ctx context.Context, ring tasks.Ring) (answers []ledger.Answer, err error) {
	err = h.gate.through(ctx, func() error {
		answers, err = h.ledger.ApplyRing(ctx, ring)
		return err
	})
	return answers, err
}

// conclude turns the fates of a ring's requests into the fate of its task.
func (h *handler) conclude(ctx context.Context, d *delivery, answers []ledger.Answer) error {
	var unknown []string
	var later error
	for i, answer := range answers {
		err := errorOfFate(answer.Fate)
		switch {
		case err == nil:
		case classOf(err) == classStray:
			unknown = append(unknown, d.ring.IDs[i].String())
		default:
			later = err
		}
	}
	if len(unknown) > 0 {
		problem := fmt.Errorf("%w: %d of %d", errUnknownRequest, len(unknown), len(d.ring.IDs))
		if err := h.setAside(ctx, d, problem, strings.Join(unknown, " ")); later == nil {
			later = err
		}
	}
	return later
}

// setAside records a stray task and returns problem, or the error that kept it from being recorded: the task then comes again.
func (h *handler) setAside(ctx context.Context, d *delivery, problem error, excerpt string) error {
	if classOf(problem) != classStray {
		return problem
	}
	if err := h.ledger.RecordStray(ctx, d.queue, d.taskID, problem.Error(), []byte(excerpt)); err != nil {
		return err
	}
	return problem
}

// recordFailure tells the requests' timelines, each its own problem, as far as PostgreSQL can be told.
func (h *handler) recordFailure(ctx context.Context, ring tasks.Ring, problem error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	for text, ids := range failuresOf(ring, problem) {
		if err := h.ledger.RecordFailure(ctx, tasks.Ring{Kind: ring.Kind, Book: ring.Book, IDs: ids}, text); err != nil {
			h.metrics.unrecorded.Inc()
			return
		}
	}
}
