package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// startsTogether is up to which start suspects share a batch. One: a ring that is lost once is nobody's fault, and after Redis was
// wiped all rings are.
const startsTogether = 1

// recordTimeout bounds what is written about a delivery after it failed.
const recordTimeout = 5 * time.Second

// The ways of suspects; they label a metric.
const (
	suspectsTogether = "together" // applied with the others of their ring
	suspectsApart    = "apart"    // rung again, each alone
	suspectAlone     = "alone"    // applied in a batch of its own
	suspectBuried    = "buried"   // started too often: dead
)

// applySuspects applies a ring that may have ended its process before (W4). Requests that are rung apart leave the delivery's ring.
func (h *handler) applySuspects(ctx context.Context, d *delivery) ([]ledger.Answer, error) {
	starts, err := h.countStarts(ctx, d.ring)
	if err != nil {
		return nil, err
	}
	if len(d.ring.IDs) == 1 && starts[d.ring.IDs[0]] > startsTogether {
		return h.applyAlone(ctx, d.ring, starts[d.ring.IDs[0]])
	}
	var together []uuid.UUID
	var apart []tasks.Bell
	for _, id := range d.ring.IDs {
		if starts[id] > startsTogether {
			apart = append(apart, tasks.Bell{Kind: d.ring.Kind, Book: d.ring.Book, ID: id})
		} else {
			together = append(together, id)
		}
	}
	if len(apart) > 0 {
		h.metrics.suspects.WithLabelValues(suspectsApart).Add(float64(len(apart)))
		if err := h.bell.Ring(ctx, apart, 1, true); err != nil {
			return nil, err
		}
	}
	d.ring.IDs = together
	if len(together) == 0 {
		return nil, nil
	}
	h.metrics.suspects.WithLabelValues(suspectsTogether).Add(float64(len(together)))
	answers, err := h.apply(ctx, d.ring.Book, together)
	h.acquit(ctx, d.ring.Book, together, err)
	return answers, err
}

// applyAlone applies a request that may be deadly, or buries it after too many starts.
func (h *handler) applyAlone(ctx context.Context, ring tasks.Ring, starts int) ([]ledger.Answer, error) {
	id := ring.IDs[0]
	if starts > h.startsMax {
		h.metrics.suspects.WithLabelValues(suspectBuried).Inc()
		problem := fmt.Sprintf("started %d times and its process never lived to see the end", starts-1)
		return []ledger.Answer{{Fate: ledger.Dead, Problem: problem}}, h.ledger.Bury(ctx, ring.Book, id, problem)
	}
	h.metrics.suspects.WithLabelValues(suspectAlone).Inc()
	var answer ledger.Answer
	err := h.gate.through(ctx, func() (err error) {
		answer, err = h.ledger.ApplyAlone(ctx, ring.Book, id)
		return err
	})
	h.acquit(ctx, ring.Book, ring.IDs, err)
	return []ledger.Answer{answer}, err
}

// countStarts counts a start of each pending request, before the work begins.
func (h *handler) countStarts(ctx context.Context, ring tasks.Ring) (starts map[uuid.UUID]int, err error) {
	err = h.gate.through(ctx, func() error {
		starts, err = h.ledger.Suspect(ctx, ring.Book, ring.IDs)
		return err
	})
	return starts, err
}

// acquitter is a ledger that takes a start back.
type acquitter interface {
	Acquit(ctx context.Context, book int, ids []uuid.UUID) error
}

// acquit takes the starts back when they ended in an error that this process has lived to see: an outage, however long, is no
// evidence against a request.
func (h *handler) acquit(ctx context.Context, book int, ids []uuid.UUID, err error) {
	books, able := any(h.ledger).(acquitter)
	if err == nil || !able {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := books.Acquit(ctx, book, ids); err != nil {
		h.metrics.unrecorded.Inc()
	}
}
