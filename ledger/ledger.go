package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Config configures a Ledger.
type Config struct {
	// Rules decide the requests, one rule a kind. Requests of other kinds are deferred to workers that know them.
	Rules []Rule
	// Ring is told, after a commit, of requests that the batch made due: follow-ups and woken ones. It must not block; what it
	// loses the relay rings. Defaults to nothing.
	Ring func([]tasks.Bell)
	// BatchMax is how many requests a batch takes at most, unless one submission has more. Defaults to 1000.
	BatchMax int
	// LingerMax bounds how long a busy lane rests between batches so that requests gather, and LingerFull is how many make it rest
	// no longer. Default to 10 ms and 150 (docs/adr/0009). The special value -1 never rests.
	LingerMax  time.Duration
	LingerFull int
	// LaneDepthMax is how many requests may wait in a lane before callers wait outside. Defaults to 4000.
	LaneDepthMax int
	// BatchTimeout bounds one try of a batch. Defaults to 60 s.
	BatchTimeout time.Duration
	// RingAfter is how long the relay leaves what a batch made due to Ring. Defaults to 15 s.
	RingAfter time.Duration
	// Registerer takes the ledger's metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Clock measures durations. What is stored is dated by PostgreSQL. Defaults to the system's.
	Clock clock.Clock
}

// Ledger applies requests to the books. It may be used by many goroutines at once, and by many processes over one database.
type Ledger struct {
	pool    *pgxpool.Pool
	config  Config
	clock   clock.Clock
	rules   map[tasks.Kind]Rule
	books   int
	lanes   []*lane
	policy  atomic.Pointer[versionedPolicy]
	metrics *metrics
	running sync.WaitGroup
}

type versionedPolicy struct {
	policy  tasks.Policy
	version int
}

// Open starts a lane for each book. ctx bounds the opening only; the lanes run until Close. It returns tasks.ErrNoBooks when the
// ledger was not created.
func Open(ctx context.Context, pool *pgxpool.Pool, config Config) (*Ledger, error) {
	l := &Ledger{pool: pool, config: withDefaults(config), rules: map[tasks.Kind]Rule{}}
	l.clock = l.config.Clock
	for _, rule := range config.Rules {
		if _, twice := l.rules[rule.kind]; twice {
			return nil, fmt.Errorf("open ledger: two rules for %s", rule.kind)
		}
		l.rules[rule.kind] = rule
	}
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM books").Scan(&l.books); err != nil {
		return nil, fmt.Errorf("count books: %w", err)
	}
	if l.books == 0 {
		return nil, tasks.ErrNoBooks
	}
	l.policy.Store(&versionedPolicy{policy: tasks.DefaultPolicy()})
	for book := range l.books {
		l.lanes = append(l.lanes, newLane(l, book))
	}
	l.metrics = newMetrics(config.Registerer, l)
	for _, lane := range l.lanes {
		l.running.Go(func() { lane.run(context.WithoutCancel(ctx)) })
	}
	return l, nil
}

func withDefaults(c Config) Config {
	if c.BatchMax == 0 {
		c.BatchMax = 1000
	}
	if c.LingerMax == 0 {
		c.LingerMax = 10 * time.Millisecond
	}
	if c.LingerFull == 0 {
		c.LingerFull = 150
	}
	if c.LaneDepthMax == 0 {
		c.LaneDepthMax = 4000
	}
	if c.BatchTimeout == 0 {
		c.BatchTimeout = time.Minute
	}
	if c.RingAfter == 0 {
		c.RingAfter = 15 * time.Second
	}
	if c.Ring == nil {
		c.Ring = func([]tasks.Bell) {}
	}
	if c.Clock == nil {
		c.Clock = clock.System
	}
	return c
}

// Close lets the lanes finish what waits in them and stops them. Apply returns ErrClosed afterwards.
func (l *Ledger) Close() {
	for _, lane := range l.lanes {
		lane.close()
	}
	l.running.Wait()
}

// Books is the number of books.
func (l *Ledger) Books() int { return l.books }

// Apply applies requests of one book and waits for their fates, in the order of ids. It may be called twice and at the same time
// for one request: it is applied once, and every call is given the stored outcome. Requests that wait together share a
// transaction, whoever handed them in.
//
// When ctx ends, requests that were not begun are withdrawn. An error leaves undecided whichever answers have no fate; it is never
// a refusal: call again later.
func (l *Ledger) Apply(ctx context.Context, book int, ids ...uuid.UUID) ([]Answer, error) {
	return l.submit(ctx, book, &submission{ids: ids, done: make(chan struct{})})
}

// ApplyRing applies what a ring names, as Apply does. A request of another kind than the ring's is NotStored to it: rings lie in Redis,
// where anybody may have put them, and a refund:send must not be applied for a ring that has not asked its channel.
func (l *Ledger) ApplyRing(ctx context.Context, ring tasks.Ring) ([]Answer, error) {
	return l.submit(ctx, ring.Book, &submission{ids: ring.IDs, kind: ring.Kind, done: make(chan struct{})})
}

// ApplyAlone applies a ring's one request in a batch of its own: for requests that may have ended a process before.
func (l *Ledger) ApplyAlone(ctx context.Context, ring tasks.Ring) (Answer, error) {
	answers, err := l.submit(ctx, ring.Book, &submission{ids: ring.IDs[:1], kind: ring.Kind, alone: true, done: make(chan struct{})})
	if err != nil {
		return Answer{}, err
	}
	return answers[0], nil
}

func (l *Ledger) submit(ctx context.Context, book int, s *submission) ([]Answer, error) {
	if book < 0 || book >= l.books {
		answers := make([]Answer, len(s.ids))
		for i := range answers {
			answers[i] = Answer{Fate: NotStored}
		}
		return answers, nil
	}
	if err := l.lanes[book].apply(ctx, s); err != nil {
		return s.answers, err
	}
	return s.answers, nil
}

func (l *Ledger) afterCommit(_ context.Context, b *batch) {
	if len(b.bells) > 0 {
		l.config.Ring(b.bells)
	}
}
