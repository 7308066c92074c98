package recharge

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres"
)

const (
	// lookPaymentsMax is how many payments one statement looks up.
	lookPaymentsMax = 200
	// lookTimeout bounds a statement: nobody who takes a notice waits longer for it.
	lookTimeout = 4 * time.Second
)

// looks looks up together what is asked together: a statement costs PostgreSQL as much as some ten payments in it. One runs at a time,
// and the next fills meanwhile; two at a time would be no faster. Nothing runs while nobody asks.
type looks struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	waiting []*look
	running bool
}

// look is one caller's payment. done is closed when row and err are set.
type look struct {
	payment payment
	row     traceRow
	err     error
	done    chan struct{}
}

// ask waits for a statement that begins after the call. When ctx ends first the answer is dropped.
func (l *looks) ask(ctx context.Context, p payment) (traceRow, error) {
	asked := &look{payment: p, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, asked)
	if !l.running {
		l.running = true
		go l.run(context.WithoutCancel(ctx)) // others may wait for the answer when this caller has left
	}
	l.mu.Unlock()
	select {
	case <-asked.done:
		return asked.row, asked.err
	case <-ctx.Done():
		return traceRow{}, context.Cause(ctx)
	}
}

// run looks until nobody waits.
func (l *looks) run(ctx context.Context) {
	for batch := l.take(); batch != nil; batch = l.take() {
		l.look(ctx, batch)
		for _, asked := range batch {
			close(asked.done)
		}
	}
}

// take takes what waits, up to lookPaymentsMax. It returns nil when nothing does, and run has ended.
func (l *looks) take() []*look {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.running = false
		return nil
	}
	n := min(len(l.waiting), lookPaymentsMax)
	batch := append([]*look(nil), l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	return batch
}

// look looks a batch up. One whose content PostgreSQL refuses, such as text that is not UTF-8, is tried one by one, so that a payment
// answers only for itself.
func (l *looks) look(ctx context.Context, batch []*look) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	payments := make([]payment, len(batch))
	for i, asked := range batch {
		payments[i] = asked.payment
	}
	rows, err := tracePayments(ctx, l.pool, payments)
	for i, asked := range batch {
		switch {
		case err == nil:
			asked.row = rows[i]
		case len(batch) > 1 && postgres.IsContent(err):
			l.look(ctx, batch[i:i+1])
		default:
			asked.err = err
		}
	}
}
