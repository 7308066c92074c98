package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// The waits of handlers while PostgreSQL is away. The lanes gather what is let through into a batch per book, so a round of tries
// costs a connection per book and not one per task.
const (
	gateDelayMin = 100 * time.Millisecond
	gateDelayMax = 3 * time.Second
)

// outageGate holds all handlers back while PostgreSQL cannot be reached, so that they neither storm it when it is back nor carry
// their tasks through Redis meanwhile. It may be used by many goroutines at once.
type outageGate struct {
	clock    clock.Timer
	draining <-chan struct{}

	mu    sync.Mutex
	until time.Time
	delay time.Duration
}

// wait returns when work may be tried. It returns errDraining, or the cause of ctx's end.
func (g *outageGate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		left := g.until.Sub(g.clock.Now())
		g.mu.Unlock()
		if left <= 0 {
			return nil
		}
		select {
		case <-g.clock.After(left):
		case <-g.draining:
			return errDraining
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// closeFor keeps the gate closed for a while, longer each time until somebody succeeds. What fails together closes it once.
func (g *outageGate) closeFor() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	if now.Before(g.until) {
		return
	}
	g.delay = min(max(2*g.delay, gateDelayMin), gateDelayMax)
	g.until = now.Add(g.delay/2 + rand.N(g.delay/2))
}

// open lets everybody through.
func (g *outageGate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until, g.delay = time.Time{}, 0
}
