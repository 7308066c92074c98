package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	if len(d.ring.IDs) == 1 {
		return h.applySuspect(ctx, d.ring)
	}
	starts, err := h.countStarts(ctx, d.ring)
	if err != nil {
		return nil, err
	}
	var together, apart []uuid.UUID
	for _, id := range d.ring.IDs {
		if starts[id] > startsTogether {
			apart = append(apart, id)
		} else {
			together = append(together, id)
		}
	}
	if err := h.ringApart(ctx, d.ring, apart); err != nil {
		return nil, err
	}
	d.ring.IDs = together
	return h.applyTogether(ctx, d.ring)
}

// ringApart rings for suspects one by one, in a random order: behind the deadly one nobody should stand twice. They were not started,
// so their starts are taken back.
func (h *handler) ringApart(ctx context.Context, ring tasks.Ring, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	h.metrics.suspects.WithLabelValues(suspectsApart).Add(float64(len(ids)))
	h.acquit(ctx, ring, ids)
	bells := make([]tasks.Bell, len(ids))
	for i, id := range ids {
		bells[i] = tasks.Bell{Kind: ring.Kind, Book: ring.Book, ID: id}
	}
	rand.Shuffle(len(bells), func(i, j int) { bells[i], bells[j] = bells[j], bells[i] })
	return h.bell.Ring(ctx, bells, 1, true)
}

func (h *handler) applyTogether(ctx context.Context, ring tasks.Ring) ([]ledger.Answer, error) {
	if len(ring.IDs) == 0 {
		return nil, nil
	}
	h.metrics.suspects.WithLabelValues(suspectsTogether).Add(float64(len(ring.IDs)))
	answers, err := h.apply(ctx, ring)
	h.acquitSurvivors(ctx, ring, answers, err)
	return answers, err
}

// applySuspect applies one suspect, or buries it after too many starts. From the second start on it runs alone in this process, counted
// only once it is its turn: when it ends the process, no other suspect is counted with it.
func (h *handler) applySuspect(ctx context.Context, ring tasks.Ring) ([]ledger.Answer, error) {
	select {
	case h.alone <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	held := true
	release := func() {
		if held {
			held = false
			<-h.alone
		}
	}
	defer release()
	id := ring.IDs[0]
	starts, err := h.countStarts(ctx, ring)
	switch {
	case err != nil:
		return nil, err
	case starts[id] <= startsTogether:
		release()
		return h.applyTogether(ctx, ring)
	case starts[id] > h.startsMax:
		h.metrics.suspects.WithLabelValues(suspectBuried).Inc()
		problem := fmt.Sprintf("started %d times, and its process never lived to see the end", starts[id]-1)
		return []ledger.Answer{{Fate: ledger.Dead, Problem: problem}}, h.ledger.Bury(ctx, ring.Book, id, problem)
	}
	h.metrics.suspects.WithLabelValues(suspectAlone).Inc()
	var answer ledger.Answer
	err = h.gate.through(ctx, func() (err error) {
		answer, err = h.ledger.ApplyAlone(ctx, ring)
		return err
	})
	h.acquitSurvivors(ctx, ring, []ledger.Answer{answer}, err)
	return []ledger.Answer{answer}, err
}

// countStarts counts a start of each pending request, before the work begins.
func (h *handler) countStarts(ctx context.Context, ring tasks.Ring) (starts map[uuid.UUID]int, err error) {
	err = h.gate.through(ctx, func() error {
		starts, err = h.ledger.Suspect(ctx, ring)
		return err
	})
	return starts, err
}

// acquitSurvivors takes the starts back of requests that have no outcome though this process lives: an outage, however long, is no
// evidence against a request, nor is it to be parked.
func (h *handler) acquitSurvivors(ctx context.Context, ring tasks.Ring, answers []ledger.Answer, err error) {
	var ids []uuid.UUID
	for i, id := range ring.IDs {
		if err != nil || answers[i].Fate != ledger.Decided && answers[i].Fate != ledger.Dead {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		h.acquit(ctx, ring, ids)
	}
}

func (h *handler) acquit(ctx context.Context, ring tasks.Ring, ids []uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := h.ledger.Acquit(ctx, tasks.Ring{Kind: ring.Kind, Book: ring.Book, IDs: ids}); err != nil {
		h.metrics.unrecorded.Inc()
	}
}
