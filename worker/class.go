package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// class is what becomes of a delivered task. This file is the one place that decides it; a class labels logs and metrics.
type class string

// The classes. None of them refuses a request: a refusal is an outcome, which the ledger stores, and its task is done.
const (
	// classDone: every request of the ring is applied, rejected, parked or dead. The queue has nothing left to do.
	classDone class = "done"
	// classStray: the task names no request of ours. It is recorded, and ends.
	classStray class = "stray"
	// classNewer: a newer version wrote the task, or only a newer one has the rule. A newer worker will take it.
	classNewer class = "newer"
	// classBusy: the books were locked, or the time ran out. The same work succeeds later.
	classBusy class = "busy"
	// classOutage: PostgreSQL or Redis cannot be reached. It says nothing of the request, however long it lasts.
	classOutage class = "outage"
	// classUnanswered: a channel has not ended a refund.
	classUnanswered class = "unanswered"
	// classProcessing: a channel is working on refunds that the relay has rung for. It rings again.
	classProcessing class = "processing"
	// classRefused: a channel answers, and refuses a refund for a reason that a person may mend. The relay rings for it again, with longer
	// pauses than a channel that does not answer gets, until it is dead.
	classRefused class = "refused"
	// classMerchantRefused: a channel refuses the merchant's refunds, whichever they are. As classRefused, but no refund dies of it.
	classMerchantRefused class = "merchant_refused"
	// classDraining: this process stops. Another one takes the task at once.
	classDraining class = "draining"
	// classLost: the process that held the task is gone, or was frozen past its lease.
	classLost class = "lost"
	// classBug: the handler panicked. The requests are suspects.
	classBug class = "bug"
	// classFault: an error that nothing above expects. It is tried again like an outage, and a person must look.
	classFault class = "fault"
)

// treatment is what is done to a class's task.
type treatment struct {
	ends   bool          // the queue forgets the task; otherwise it is delivered again
	counts bool          // asynq counts the delivery as a retry, so that a later one knows of it
	delay  time.Duration // longest wait before the first repeat
	cap    time.Duration // longest wait before any repeat; it doubles up to here with each one that counts
	level  slog.Level
}

var treatments = map[class]treatment{
	classDone:  {ends: true, level: slog.LevelInfo},
	classStray: {ends: true, level: slog.LevelWarn},
	// A rolling deploy takes minutes.
	classNewer: {delay: 5 * time.Minute, cap: 5 * time.Minute, level: slog.LevelWarn},
	classBusy:  {delay: 5 * time.Second, cap: 5 * time.Second, level: slog.LevelWarn},
	// The outage's own gate holds the callers back; this spreads those that the gate let go.
	classOutage: {delay: 10 * time.Second, cap: 10 * time.Second, level: slog.LevelWarn},
	// A channel takes from seconds to days.
	classUnanswered:      {counts: true, delay: 4 * time.Second, cap: 10 * time.Minute, level: slog.LevelInfo},
	classProcessing:      {ends: true, level: slog.LevelInfo},
	classRefused:         {ends: true, level: slog.LevelWarn},
	classMerchantRefused: {ends: true, level: slog.LevelWarn},
	classDraining:        {delay: time.Second, cap: time.Second, level: slog.LevelInfo},
	classLost:            {counts: true, delay: time.Second, cap: time.Minute, level: slog.LevelWarn},
	classBug:             {counts: true, delay: 10 * time.Second, cap: 5 * time.Minute, level: slog.LevelError},
	classFault:           {delay: time.Minute, cap: time.Minute, level: slog.LevelError},
}

// Errors of the handler itself.
var (
	// errDraining: the process stops, and what waited is left to others.
	errDraining = errors.New("worker is stopping")
	// errUnanswered: a channel has not ended every refund of the ring.
	errUnanswered = errors.New("channel has not ended every refund")
	// errNoRule: this version cannot decide some of the ring's requests.
	errNoRule = errors.New("no rule for this kind in this version")
	// errUnknownRequest: the ring names requests that are not stored.
	errUnknownRequest = errors.New("ring names requests that are not stored")
)

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.value) }

func panicOf(err error) *panicError {
	var panicked *panicError
	if errors.As(err, &panicked) {
		return panicked
	}
	return nil
}

// classOf says what becomes of a task whose delivery ended with err.
func classOf(err error) class {
	var refused *tasks.FieldError
	switch {
	case err == nil:
		return classDone
	case panicOf(err) != nil:
		return classBug
	case errors.Is(err, tasks.ErrMalformedRing), errors.Is(err, errUnknownRequest):
		return classStray
	case errors.Is(err, tasks.ErrNewerRing), errors.Is(err, errNoRule):
		return classNewer
	case errors.Is(err, errDraining), errors.Is(err, ledger.ErrClosed), errors.Is(err, tasks.ErrClientClosed):
		return classDraining
	case errors.Is(err, asynq.ErrLeaseExpired):
		return classLost
	case errors.Is(err, channel.ErrMerchantRefused):
		return classMerchantRefused
	case errors.Is(err, channel.ErrRefused):
		return classRefused
	case errors.Is(err, errAskedLater):
		return classProcessing
	case errors.Is(err, errUnanswered):
		return classUnanswered
	case errors.As(err, &refused):
		// A stored request, or an answer that we made of one, is not refused for a field: it was validated.
		return classFault
	case postgres.IsConnection(err), isRedisOutage(err):
		return classOutage
	case postgres.IsRetryable(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return classBusy
	default:
		return classFault
	}
}

// errorOfFate is what one request's fate adds to its ring: nil when the queue has nothing left to do for it.
func errorOfFate(fate ledger.Fate) error {
	switch fate {
	case ledger.Decided, ledger.Parked, ledger.Dead:
		return nil
	case ledger.NotStored:
		return errUnknownRequest
	case ledger.Deferred:
		return errNoRule
	default:
		return errUndecided
	}
}

// errUndecided: the ledger gave a request no fate and no error either.
var errUndecided = errors.New("ledger left a request undecided")

// retryDelay is asynq's RetryDelayFunc: full jitter, so that what failed together does not return together. It grows with the
// deliveries that count.
func retryDelay(retried int, err error, _ *asynq.Task) time.Duration {
	t := treatments[classOf(err)]
	longest := t.cap
	if retried < 16 { // 2^16 of the shortest delay is beyond every cap
		longest = min(t.cap, t.delay<<retried)
	}
	// asynq cuts to whole seconds.
	return time.Second + rand.N(longest)
}

// isFailure is asynq's IsFailure: what it denies leaves the count of retries alone.
func isFailure(err error) bool { return treatments[classOf(err)].counts }
