package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrClientClosed is returned by Enqueue after Close.
var ErrClientClosed = errors.New("client is closed")

// acceptors is how many inserts run at once. While one commits the next fills: a second one keeps PostgreSQL busy meanwhile; more
// make the batches smaller.
const acceptors = 2

// groupAccept inserts the requests that wait together, in one statement and one commit.
type groupAccept struct {
	pool   *pgxpool.Pool
	config ClientConfig
	ringer *Ringer
	late   deadlines

	mu        sync.Mutex
	changed   *sync.Cond // a request arrived, an insert ended, or the group is closed
	waiting   []*acceptance
	inserting int // inserts under way
	closed    bool
	running   sync.WaitGroup
}

// acceptance is one caller's request. done is closed when receipt and err are set.
type acceptance struct {
	request Request
	receipt Receipt
	err     error
	done    chan struct{}
}

// startGroupAccept runs until stop; ctx carries values, not cancellation, to the inserts.
func startGroupAccept(ctx context.Context, pool *pgxpool.Pool, config ClientConfig, ringer *Ringer) *groupAccept {
	g := &groupAccept{pool: pool, config: config, ringer: ringer, late: deadlines{within: config.AnswerWithin}}
	g.changed = sync.NewCond(&g.mu)
	for range acceptors {
		g.running.Go(func() { g.run(context.WithoutCancel(ctx)) })
	}
	return g
}

// accept waits for the commit of a batch that holds the request, at most AnswerWithin. When that or ctx ends first, a request that is
// still waiting is withdrawn. One that is being committed is waited for, unless the caller's time is up: who has promised an answer by
// then cannot wait for it.
func (g *groupAccept) accept(ctx context.Context, request Request) (Receipt, error) {
	a := &acceptance{request: request, done: make(chan struct{})}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return Receipt{}, ErrClientClosed
	}
	g.waiting = append(g.waiting, a)
	g.mu.Unlock()
	g.changed.Signal()
	var ended error
	select {
	case <-a.done:
		return a.receipt, a.err
	case <-g.late.after(g.config.Clock.Now()):
		ended = context.DeadlineExceeded
	case <-ctx.Done():
		ended = context.Cause(ctx)
	}
	if g.withdraw(a) {
		return Receipt{}, ended
	}
	if errors.Is(ended, context.DeadlineExceeded) {
		return Receipt{}, fmt.Errorf("wait for a commit: %w", ended)
	}
	<-a.done
	return a.receipt, a.err
}

func (g *groupAccept) withdraw(a *acceptance) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, waiting := range g.waiting {
		if waiting == a {
			g.waiting = slices.Delete(g.waiting, i, i+1)
			return true
		}
	}
	return false
}

func (g *groupAccept) run(ctx context.Context) {
	var rest time.Duration
	for {
		batch := g.take(rest)
		if batch == nil {
			return
		}
		begun := g.config.Clock.Now()
		g.commit(ctx, batch)
		g.ended()
		rest = 0
		if len(batch) > 1 {
			rest = min(restShare*g.config.Clock.Now().Sub(begun), restMax)
		}
	}
}

// A busy acceptor rests between two inserts for restShare times as long as the last one took, at most restMax, so that requests
// gather: an insert costs PostgreSQL as much as some ten rows in it. It does not rest when restFull wait, nor when restEnough do and no
// other insert is under way, nor after an insert for a single caller.
const (
	restShare  = 3
	restMax    = 3 * time.Millisecond
	restFull   = 32
	restEnough = 12
)

// rest waits for more requests. The caller holds the lock.
func (g *groupAccept) rest(wait time.Duration) {
	over := false
	timer := time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		over = true
		g.changed.Broadcast()
	})
	defer timer.Stop()
	for !over && !g.closed && !g.areEnough() {
		g.changed.Wait()
	}
}

// areEnough says that the requests that wait are worth an insert now. The caller holds the lock.
func (g *groupAccept) areEnough() bool {
	if g.inserting > 0 {
		return len(g.waiting) >= restFull
	}
	return len(g.waiting) >= restEnough
}

// take waits for requests and takes up to BatchMax for an insert, which is under way until ended. It returns nil when the group is
// closed and empty.
func (g *groupAccept) take(rest time.Duration) []*acceptance {
	g.mu.Lock()
	defer g.mu.Unlock()
	if rest > 0 {
		g.rest(rest)
	}
	for len(g.waiting) == 0 {
		if g.closed {
			return nil
		}
		g.changed.Wait()
	}
	n := min(len(g.waiting), g.config.BatchMax)
	batch := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	g.inserting++
	return batch
}

// ended tells an acceptor that rests that an insert is no longer under way.
func (g *groupAccept) ended() {
	g.mu.Lock()
	g.inserting--
	g.mu.Unlock()
	g.changed.Signal()
}

// storeTimeout bounds an insert whose callers may have left: PostgreSQL is not answering when it takes longer. Those who come later
// wait for it, and it ends after its connection has died without a word.
const storeTimeout = 10 * time.Second

// commit stores a batch. A batch whose content PostgreSQL refuses is tried one by one, so that a request answers only for itself.
// Any other failure is everybody's: asking again is safe.
func (g *groupAccept) commit(ctx context.Context, batch []*acceptance) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	receipts, err := g.store(ctx, batch)
	for i, a := range batch {
		switch {
		case err == nil:
			a.receipt = receipts[i]
		case len(batch) > 1 && isContent(err):
			var one []Receipt
			if one, a.err = g.store(ctx, batch[i:i+1]); a.err == nil {
				a.receipt = one[0]
			}
		default:
			a.err = err
		}
		close(a.done)
	}
}

// isContent says that PostgreSQL refused the rows themselves: data exceptions (22) and integrity violations (23). It is
// postgres.IsContent again: producers import this package, and would have the migrations and what runs them in their programs.
func isContent(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code[:2] == "22" || refused.Code[:2] == "23")
}

func (g *groupAccept) store(ctx context.Context, batch []*acceptance) ([]Receipt, error) {
	requests := make([]Request, len(batch))
	for i, a := range batch {
		requests[i] = a.request
	}
	begun := g.config.Clock.Now()
	receipts, err := accept(ctx, g.pool, requests, g.config.RingAfter)
	if err == nil {
		g.config.OnCommit(len(requests), g.config.Clock.Now().Sub(begun))
		g.ringer.ringAccepted(receipts)
	}
	return receipts, err
}

func (g *groupAccept) stop() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.changed.Broadcast()
	g.running.Wait()
}
