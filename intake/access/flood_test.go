package access_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres"
)

// questions counts the queries of a pool, and how many ran at once.
type questions struct{ running, most, all atomic.Int64 }

// TraceQueryStart implements pgx.QueryTracer.
func (q *questions) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	q.all.Add(1)
	running := q.running.Add(1)
	for most := q.most.Load(); running > most && !q.most.CompareAndSwap(most, running); most = q.most.Load() {
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (q *questions) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {
	q.running.Add(-1)
}

func TestFloodOfKeysThatDoNotExistTakesOneConnection(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	_, token := g.create(t, access.Read)
	var asked questions
	pool, err := postgres.Open(t.Context(), g.db.URL, postgres.Configure(func(c *pgxpool.Config) { c.ConnConfig.Tracer = &asked }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	flooded := newGateOn(t, g.db, access.Config{Pool: pool})
	asked.all.Store(0)
	const callers, each = 64, 20
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() {
			for range each {
				var id [8]byte
				_, _ = rand.Read(id[:])
				_, err := flooded.Admit(t.Context(), "Bearer sk_"+hex.EncodeToString(id[:])+token[19:])
				if refusal := (*access.Refusal)(nil); !errors.As(err, &refusal) || refusal.Reason != access.ReasonUnknown {
					t.Error(err)
				}
				if _, err := flooded.Admit(t.Context(), "Bearer "+token); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	if most, all := asked.most.Load(), asked.all.Load(); most != 1 || all >= callers*each/2 {
		t.Errorf("%d questions, %d at once, for %d calls", all, most, callers*each)
	}
	before := asked.all.Load()
	for range 100 {
		if _, err := flooded.Admit(t.Context(), "Bearer "+token); err != nil {
			t.Fatal(err)
		}
	}
	if more := asked.all.Load() - before; more != 0 {
		t.Errorf("a fresh key was asked for %d times", more)
	}
	flooded.clock.Advance(access.Fresh)
	if _, err := flooded.Admit(t.Context(), "Bearer "+token); err != nil || asked.all.Load() != before+1 {
		t.Errorf("a key that is no longer fresh was asked for %d times, %v", asked.all.Load()-before, err)
	}
}
