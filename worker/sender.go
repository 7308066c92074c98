package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// sender asks channels to pay refunds (W5). A channel's final answer is accepted as a request of its own, then the refund:send is
// applied; a crash in between asks the channel again, and accepts the same answer. It may be used by many goroutines at once.
type sender struct {
	ledger    *ledger.Ledger
	client    *tasks.Client
	refunders map[tasks.Source]channel.Refunder
	rests     map[tasks.Source]*rest
	paces     map[tasks.Source]*pace
	gate      *outageGate
	calls     chan struct{} // bounds the calls under way in this process
	timeout   time.Duration // bounds one call
	clock     clock.Clock
	metrics   *metrics
	logger    *slog.Logger
}

// The rests of a channel that does not answer: it is left alone, so that its recovery is no storm, and its calls do not hold the tasks
// of others for a timeout each.
const (
	channelFailuresMax = 5
	channelRestMin     = time.Second
	channelRestMax     = 30 * time.Second
)

func restsOf(refunders map[tasks.Source]channel.Refunder, now clock.Clock) map[tasks.Source]*rest {
	rests := make(map[tasks.Source]*rest, len(refunders))
	for source := range refunders {
		rests[source] = &rest{clock: now, after: channelFailuresMax, shortest: channelRestMin, longest: channelRestMax}
	}
	return rests
}

// finishTime is what is left of a delivery's time when its calls end: enough for a busy ledger to apply those that have ended.
const finishTime = 20 * time.Second

// pursuing ends before the delivery does. A channel that is slow for a large ring uses up whatever time it is given, and what it has
// answered must be applied in this delivery: the next one asks about everything that was not.
func pursuing(ctx context.Context) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, end.Add(-finishTime))
}

// send pursues the ring's pending refunds, applies those that have ended and buries those that their channels keep refusing. While one
// has not ended, it returns a *refundsError, with the answers.
func (s *sender) send(ctx context.Context, ring tasks.Ring) (answers []ledger.Answer, err error) {
	// Each start is counted before the channel is called: the second one knows that the channel may have been asked.
	var starts map[uuid.UUID]int
	err = s.gate.through(ctx, func() error {
		starts, err = s.ledger.Suspect(ctx, ring)
		return err
	})
	if err != nil {
		return nil, err
	}
	calling, cancel := pursuing(ctx)
	problems := s.pursueAll(calling, ring, starts)
	cancel()
	err = s.gate.through(ctx, func() error {
		answers, err = s.finish(ctx, ring, starts, problems)
		return err
	})
	if err != nil {
		problems = unfinished(problems, err)
	}
	s.takeBack(ctx, ring, starts, problems)
	if err != nil {
		return nil, refundsErrorOf(problems)
	}
	s.bury(ctx, ring, problems, answers)
	return answers, refundsErrorOf(problems)
}

// unfinished gives the refunds that have ended the problem that kept them from being applied.
func unfinished(problems []error, err error) []error {
	for i := range problems {
		if problems[i] == nil {
			problems[i] = err
		}
	}
	return problems
}

// finish applies the refunds that were started and have ended. The others are looked up and not applied: a dead one may have been
// requeued since, and its channel was not asked. The answers are in the order of the ring; one without a fate is not for this delivery.
func (s *sender) finish(ctx context.Context, ring tasks.Ring, starts map[uuid.UUID]int, problems []error) ([]ledger.Answer, error) {
	var ended, unstarted []int
	for i, id := range ring.IDs {
		switch {
		case starts[id] == 0:
			unstarted = append(unstarted, i)
		case problems[i] == nil:
			ended = append(ended, i)
		}
	}
	answers := make([]ledger.Answer, len(ring.IDs))
	for _, part := range []struct {
		places []int
		answer func(context.Context, tasks.Ring) ([]ledger.Answer, error)
	}{{ended, s.ledger.ApplyRing}, {unstarted, s.ledger.LookUp}} {
		if len(part.places) == 0 {
			continue
		}
		named := tasks.Ring{Kind: ring.Kind, Book: ring.Book, IDs: make([]uuid.UUID, len(part.places))}
		for i, place := range part.places {
			named.IDs[i] = ring.IDs[place]
		}
		given, err := part.answer(ctx, named)
		if err != nil {
			return nil, err
		}
		for i, place := range part.places {
			answers[place] = given[i]
		}
	}
	return answers, nil
}

// pursueAll pursues the pending refunds, several at once, and returns each one's problem in the order of the ring's ids.
func (s *sender) pursueAll(ctx context.Context, ring tasks.Ring, starts map[uuid.UUID]int) []error {
	problems := make([]error, len(ring.IDs))
	var running sync.WaitGroup
	for i, id := range ring.IDs {
		if starts[id] == 0 {
			continue // decided before, dead, not stored, or of another kind: finish looks it up
		}
		select {
		case s.calls <- struct{}{}:
		case <-ctx.Done():
			problems[i] = fmt.Errorf("%w: %w: %w", errUnanswered, errNotAsked, context.Cause(ctx))
			continue
		}
		running.Go(func() {
			defer func() { <-s.calls }()
			// A panic outside the handler's own goroutine would end the process.
			defer func() {
				if value := recover(); value != nil {
					problems[i] = &panicError{value: value, stack: debug.Stack()}
				}
			}()
			problems[i] = s.pursue(ctx, ring.Book, id, starts[id] > 1)
			if problems[i] != nil && ctx.Err() != nil && !isRefusal(problems[i]) {
				problems[i] = fmt.Errorf("%w: %w: %w", errUnanswered, context.Cause(ctx), problems[i])
			}
		})
	}
	running.Wait()
	return problems
}

// pursue brings one refund forward. It returns nil once its final answer is accepted.
func (s *sender) pursue(ctx context.Context, book int, id uuid.UUID, asked bool) error {
	payload, err := s.ledger.LoadPayload(ctx, book, id)
	if err != nil {
		return err
	}
	order, ok := payload.(*tasks.RefundOrder)
	if !ok {
		return fmt.Errorf("request %s is %s, not a refund order", id, payload.Kind())
	}
	refunder := s.refunders[order.Channel]
	if refunder == nil {
		return fmt.Errorf("channel %s: %w", order.Channel, errNoRule)
	}
	if left := s.rests[order.Channel].left(); left > 0 {
		return fmt.Errorf("%w: %w: %s does not answer and is left alone for %s", errUnanswered, errNotAsked, order.Channel, left)
	}
	answer, err := s.call(ctx, refunder, *order, asked)
	switch {
	case errors.Is(err, channel.ErrRefused):
		return fmt.Errorf("%s: %w", order.Channel, err)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", errUnanswered, order.Channel, err)
	}
	result, final := channel.Result(*order, answer)
	if !final {
		return fmt.Errorf("%w: %s: %w", errUnanswered, order.Channel, errProcessing)
	}
	receipt, err := channel.Accept(ctx, s.client, result)
	var conflict *tasks.ConflictError
	if errors.As(err, &conflict) {
		// The channel has changed its final answer. The first one stands, this one is on its timeline, and a person must look.
		s.metrics.channelConflicts.WithLabelValues(string(order.Channel)).Inc()
		s.logger.LogAttrs(ctx, slog.LevelError, "channel changed a final answer", slog.String("channel", string(order.Channel)),
			slog.String("number", order.Number), slog.String("error", err.Error()))
		return nil
	}
	if err == nil && receipt.Kind == tasks.RefundRevise && receipt.Status == tasks.Accepted {
		s.metrics.channelRevisions.WithLabelValues(string(order.Channel)).Inc()
		s.logger.LogAttrs(ctx, slog.LevelWarn, "channel has paid a refund that it had failed", slog.String("channel", string(order.Channel)),
			slog.String("number", order.Number))
	}
	return err
}

// These label calls that told nothing, calls that were refused, and calls that were refused to the merchant.
const (
	stateUnknown channel.RefundState = "unknown"
	stateRefused channel.RefundState = "refused"
	// stateMerchantRefused would be the answer to any refund.
	stateMerchantRefused channel.RefundState = "merchant_refused"
)

func (s *sender) call(delivery context.Context, refunder channel.Refunder, order tasks.RefundOrder, asked bool) (channel.RefundAnswer, error) {
	// A refund that follows its question at once takes one turn with it: that is rare.
	if err := s.paces[order.Channel].wait(delivery); err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("%w: %w", errNotAsked, err)
	}
	ctx, cancel := context.WithTimeout(delivery, s.timeout)
	defer cancel()
	begun := s.clock.Now()
	answer, err := channel.Pursue(ctx, refunder, order, asked)
	state := answer.State
	switch state {
	case channel.RefundSucceeded, channel.RefundFailed, channel.RefundProcessing:
	default:
		state = stateUnknown
	}
	var unaskable *tasks.FieldError
	switch {
	case errors.As(err, &unaskable): // nobody was called
		state = stateRefused
	case err == nil:
		s.rests[order.Channel].succeeded()
	case errors.Is(err, channel.ErrMerchantRefused): // it would refuse the others too, and counts requests that it refuses
		s.rests[order.Channel].failed()
		s.metrics.merchantRefusals.WithLabelValues(string(order.Channel)).Inc()
		state = stateMerchantRefused
	case errors.Is(err, channel.ErrRefused): // the channel answers
		s.rests[order.Channel].succeeded()
		state = stateRefused
	default:
		if delivery.Err() == nil { // otherwise the call was cut short, which is not the channel's fault
			s.rests[order.Channel].failed()
		}
		state = stateUnknown
	}
	s.metrics.channelCalls.WithLabelValues(string(order.Channel), string(state)).Observe(s.clock.Now().Sub(begun).Seconds())
	return answer, err
}
