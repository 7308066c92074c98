package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

// submission is one caller's requests. done is closed once answers or err are set.
type submission struct {
	ids     []uuid.UUID
	kind    tasks.Kind // the only one that is applied; empty for any
	alone   bool       // suspected of ending processes: it shares its batch with nobody
	answers []Answer
	err     error
	done    chan struct{}
}

// lane applies one book's requests, batch after batch.
type lane struct {
	ledger     *Ledger
	book       int
	accountIDs map[AccountName]int64 // of unguarded accounts; used by the lane's goroutine only

	mu      sync.Mutex
	changed *sync.Cond
	waiting []*submission
	depth   int // requests in waiting
	closed  bool
	last    lastBatch
}

// lastBatch is what a lane remembers of the batch before.
type lastBatch struct {
	ended       time.Time
	took        time.Duration
	submissions int
}

func newLane(l *Ledger, book int) *lane {
	lane := &lane{ledger: l, book: book, accountIDs: map[AccountName]int64{}}
	lane.changed = sync.NewCond(&lane.mu)
	return lane
}

// ErrClosed is returned by Apply after Close.
var ErrClosed = errors.New("ledger is closed")

// apply waits for the batch that holds the submission. When ctx ends first, a submission that still waits is withdrawn; one in a
// running batch is waited for, so that nothing is written after the caller has gone.
func (l *lane) apply(ctx context.Context, s *submission) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	if err := l.enter(ctx, s); err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		if l.withdraw(s) {
			return context.Cause(ctx)
		}
		<-s.done
	}
	return s.err
}

// enter waits for room: a full lane holds its callers, and asynq holds the rest.
func (l *lane) enter(ctx context.Context, s *submission) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.depth > 0 && l.depth+len(s.ids) > l.ledger.config.LaneDepthMax {
		if l.closed {
			return ErrClosed
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.changed.Wait()
	}
	if l.closed {
		return ErrClosed
	}
	l.waiting = append(l.waiting, s)
	l.depth += len(s.ids)
	l.changed.Broadcast()
	return nil
}

func (l *lane) withdraw(s *submission) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, waiting := range l.waiting {
		if waiting == s {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			l.depth -= len(s.ids)
			l.changed.Broadcast()
			return true
		}
	}
	return false
}

// run applies batches until the lane is closed and empty.
func (l *lane) run(ctx context.Context) {
	for {
		group := l.take()
		if group == nil {
			return
		}
		begun := l.ledger.clock.Now()
		l.applyGroup(ctx, group)
		ended := l.ledger.clock.Now()
		l.last = lastBatch{ended: ended, took: ended.Sub(begun), submissions: len(group)}
	}
}

// take waits for submissions and takes as many as a batch holds, in the order of arrival.
func (l *lane) take() []*submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	for lingered := false; len(l.waiting) == 0 || !lingered; {
		if len(l.waiting) > 0 {
			l.linger() // what waits may be withdrawn meanwhile
			lingered = true
			continue
		}
		if l.closed {
			return nil
		}
		l.changed.Wait()
	}
	n, size := 0, 0
	for _, s := range l.waiting {
		full := size+len(s.ids) > l.ledger.config.BatchMax
		if n > 0 && (full || s.alone || l.waiting[0].alone) {
			break
		}
		n++
		size += len(s.ids)
	}
	group := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.depth -= size
	l.changed.Broadcast()
	return group
}

// linger lets a busy lane rest for as long as its last batch took, so that requests gather: a batch costs PostgreSQL as much as some
// thirty requests in it. The busier the machine, the longer its batches take, and the larger they become. A request that comes to an
// idle lane, or alone, does not wait. The caller holds the lock.
func (l *lane) linger() {
	wait := min(l.last.took, l.ledger.config.LingerMax)
	if wait <= 0 || l.last.submissions < 2 || l.ledger.clock.Now().Sub(l.last.ended) > 2*wait {
		return
	}
	over := false
	timer := time.AfterFunc(wait, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		over = true
		l.changed.Broadcast()
	})
	defer timer.Stop()
	for !over && !l.closed && l.depth > 0 && l.depth < l.ledger.config.LingerFull {
		l.changed.Wait()
	}
}

func (l *lane) applyGroup(ctx context.Context, group []*submission) {
	size := 0
	for _, s := range group {
		size += len(s.ids)
	}
	ids, kinds := make([]uuid.UUID, 0, size), make(map[uuid.UUID]tasks.Kind, size)
	for _, s := range group {
		for _, id := range s.ids {
			if _, seen := kinds[id]; !seen {
				kinds[id] = s.kind // of two that contradict each other one comes in vain, and the relay rings again
				ids = append(ids, id)
			}
		}
	}
	answers := make(map[uuid.UUID]Answer, len(ids))
	err := l.applyIDs(ctx, ids, kinds, answers)
	for _, s := range group {
		s.answers = make([]Answer, len(s.ids))
		for i, id := range s.ids {
			answer, answered := answers[id]
			if !answered && s.err == nil {
				s.err = err
			}
			s.answers[i] = answer
		}
		close(s.done)
	}
}

// batchTriesMax is how often a batch that PostgreSQL could not serialize, or whose connection broke, is run in place before its
// callers are told to come again.
const batchTriesMax = 4

// applyIDs applies requests, halving a batch whose content PostgreSQL refuses. Answers are added as they are known: an error leaves
// the requests without an answer undecided.
func (l *lane) applyIDs(ctx context.Context, ids []uuid.UUID, kinds map[uuid.UUID]tasks.Kind, answers map[uuid.UUID]Answer) error {
	err := l.applyBatch(ctx, ids, kinds, answers)
	if err == nil || !postgres.IsContent(err) || isTaken(err) {
		return err
	}
	if len(ids) == 1 {
		if buryErr := l.ledger.Bury(ctx, l.book, ids[0], err.Error()); buryErr != nil {
			return buryErr // it is not dead yet: its caller tries again
		}
		answers[ids[0]] = Answer{Fate: Dead, Problem: err.Error()}
		return nil
	}
	l.ledger.metrics.bisected()
	half := len(ids) / 2
	return errors.Join(l.applyIDs(ctx, ids[:half], kinds, answers), l.applyIDs(ctx, ids[half:], kinds, answers))
}

func (l *lane) applyBatch(ctx context.Context, ids []uuid.UUID, kinds map[uuid.UUID]tasks.Kind, answers map[uuid.UUID]Answer) error {
	for try := 1; ; try++ {
		b := newBatch(l.ledger, l.book, ids, kinds)
		err := l.runBatch(ctx, b)
		if err == nil {
			for id, answer := range b.answers {
				answers[id] = answer
			}
			l.ledger.afterCommit(ctx, b)
			return nil
		}
		again := errors.Is(err, errPolicyChanged) || postgres.IsRetryable(err) || postgres.IsConnection(err) || isTaken(err)
		if !again || try == batchTriesMax || ctx.Err() != nil {
			return fmt.Errorf("apply %d requests of book %d: %w", len(ids), l.book, err)
		}
		clear(l.accountIDs) // they may be why: see updateUnguardedSQL
		l.ledger.metrics.repeated()
		if !errors.Is(err, errPolicyChanged) {
			pause(ctx, try)
		}
	}
}

// isTaken says that another book has booked a channel's payment since this batch looked: looking again tells the rule.
func isTaken(err error) bool { return postgres.Constraint(err) == "channel_payment_funds_one_request" }

// pause waits a little, longer at each try, and never the same time as another worker.
func pause(ctx context.Context, try int) {
	timer := time.NewTimer(time.Duration(10+rand.IntN(20*try)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (l *lane) runBatch(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(ctx, l.ledger.config.BatchTimeout)
	defer cancel()
	conn, err := l.ledger.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("get a connection: %w", err)
	}
	defer conn.Release()
	begun := l.ledger.clock.Now()
	if err := b.run(ctx, conn.Conn()); err != nil {
		return err
	}
	l.ledger.metrics.batch(b, l.ledger.clock.Now().Sub(begun))
	return nil
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
}

func (l *lane) waitingRequests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.depth
}
