package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// refusalsMax is after how many refusals by its channel a refund is dead. By the relay's pauses they take two and a half hours: what
// passes by itself (a minute between two refunds of a payment, a lock) has passed, and whoever must mend the rest is told on the same
// day. A merchant's money waits in the channel's refunding account meanwhile. A refusal of the merchant is none of the refund: those come
// again until somebody has mended it.
const refusalsMax = 20

// errProcessing stands beside errUnanswered for a refund that its channel says it is working on.
var errProcessing = errors.New("it is processing")

// errAskedLater: what is left of a ring of the relay is for its next ring.
var errAskedLater = errors.New("the relay asks again")

// errNotAsked stands beside errUnanswered for a refund whose channel was not called: it is no news of the refund.
var errNotAsked = errors.New("channel was not asked")

// refundsError says what kept refunds of a ring from their end.
type refundsError struct {
	each  []error // of each request, in the order of the ring's ids; nil where nothing is wrong
	worst error   // decides what becomes of the task
}

func (e *refundsError) Error() string { return e.worst.Error() }

func (e *refundsError) Unwrap() error { return e.worst }

// refundsErrorOf is nil when there is no problem.
func refundsErrorOf(problems []error) error {
	worst := slices.MaxFunc(append([]error{nil}, problems...), func(a, b error) int { return severity(a) - severity(b) })
	if worst == nil {
		return nil
	}
	return &refundsError{each: problems, worst: worst}
}

// severity orders problems by what they mean for the ring: a refused refund is for the relay alone, an unanswered call only when nothing
// else is wrong.
func severity(problem error) int {
	switch {
	case problem == nil:
		return 0
	case isRefusal(problem):
		return 1
	case classOf(problem) == classUnanswered:
		return 2
	default:
		return 3
	}
}

// isRefusal says whether a channel refuses a refund, or all of the merchant's.
func isRefusal(problem error) bool {
	found := classOf(problem)
	return found == classRefused || found == classMerchantRefused
}

// takeBack takes back the starts that ended in anything but a refusal: an outage, however long, is no evidence against a refund, and one
// may be processing for days. A refund's first start stays counted, because the next one must know that its channel may have been asked.
// In a ring with worse trouble refusals do not count either, since it comes again by that trouble's short pauses.
func (s *sender) takeBack(ctx context.Context, ring tasks.Ring, starts map[uuid.UUID]int, problems []error) {
	troubled := severity(refundsErrorOf(problems)) > severity(errUnanswered)
	var ids []uuid.UUID
	for i, id := range ring.IDs {
		if problems[i] != nil && starts[id] > 1 && (troubled || classOf(problems[i]) != classRefused) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := s.ledger.Acquit(ctx, tasks.Ring{Kind: ring.Kind, Book: ring.Book, IDs: ids}); err != nil {
		s.metrics.unrecorded.Inc()
	}
}

// bury counts the refusals of a delivery, makes the refunds dead that their channels have refused too often, and answers for them. In a
// ring with worse trouble refusals do not count, as in takeBack. One that cannot be counted costs a refund a repeat.
func (s *sender) bury(ctx context.Context, ring tasks.Ring, problems []error, answers []ledger.Answer) {
	refused := tasks.Ring{Kind: ring.Kind, Book: ring.Book}
	for i, id := range ring.IDs {
		if classOf(problems[i]) == classRefused {
			refused.IDs = append(refused.IDs, id)
		}
	}
	if len(refused.IDs) == 0 || severity(refundsErrorOf(problems)) > severity(errUnanswered) {
		return
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	refusals, err := s.ledger.CountRefusals(recording, refused)
	cancel()
	if err != nil {
		s.metrics.unrecorded.Inc()
		return
	}
	for i, id := range ring.IDs {
		if refusals[id] < refusalsMax {
			continue
		}
		cause := fmt.Sprintf("not paid after %d refusals: %v", refusals[id], problems[i])
		err := s.gate.through(ctx, func() error { return s.ledger.Bury(ctx, ring.Book, id, cause) })
		if err != nil {
			problems[i] = err
			continue
		}
		s.logger.LogAttrs(ctx, slog.LevelError, "refund is dead: its channel refuses it", slog.String("request", id.String()),
			slog.String("error", cause))
		answers[i], problems[i] = ledger.Answer{Fate: ledger.Dead, Problem: cause}, nil
	}
}

// sendRefunds has the ring's refunds sent. A ring of which a channel refuses some ends, since those come again with the relay's longer
// pauses; the others are rung for at once in a ring of their own, so that they do not wait with them. So does a ring of the relay of which
// some are processing: a card's refund takes days, each of the relay's rings would ask on for hours, and many would at once.
func (h *handler) sendRefunds(ctx context.Context, ring tasks.Ring) ([]ledger.Answer, error) {
	answers, err := h.sender.send(ctx, ring)
	var refunds *refundsError
	if !errors.As(err, &refunds) || severity(err) > severity(errUnanswered) {
		return answers, err
	}
	var left error // to the relay
	var others []tasks.Bell
	for i, id := range ring.IDs {
		problem := refunds.each[i]
		switch {
		case problem != nil && isRefusal(problem):
			left = problem
		case ring.Again && errors.Is(problem, errProcessing):
			left = cmp.Or(left, fmt.Errorf("%w: %w", errAskedLater, problem))
		case problem != nil, errorOfFate(answers[i].Fate) != nil:
			others = append(others, tasks.Bell{Kind: ring.Kind, Book: ring.Book, ID: id})
		}
	}
	if left == nil {
		return answers, err
	}
	if ringErr := h.bell.Ring(ctx, others, len(ring.IDs), ring.Again); ringErr != nil {
		return answers, &refundsError{each: refunds.each, worst: ringErr}
	}
	return answers, &refundsError{each: refunds.each, worst: left}
}

// failuresOf says which text is news of which requests. What could not be told, says nothing of the request or has not asked its channel
// is none: an earlier cause stands.
func failuresOf(ring tasks.Ring, problem error) map[string][]uuid.UUID {
	each := slices.Repeat([]error{problem}, len(ring.IDs))
	var refunds *refundsError
	if errors.As(problem, &refunds) {
		each = refunds.each
	}
	texts := map[string][]uuid.UUID{}
	for i, id := range ring.IDs {
		switch classOf(each[i]) {
		case classDone, classOutage, classDraining, classNewer:
			continue
		default:
		}
		if !errors.Is(each[i], errNotAsked) {
			texts[each[i].Error()] = append(texts[each[i].Error()], id)
		}
	}
	return texts
}
