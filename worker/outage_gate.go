package worker

import (
	"context"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
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
	rest     *rest
}

func newOutageGate(now clock.Timer, draining <-chan struct{}) *outageGate {
	return &outageGate{clock: now, draining: draining,
		rest: &rest{clock: now, after: 1, shortest: gateDelayMin, longest: gateDelayMax}}
}

// through runs work that needs PostgreSQL, again and again while it cannot be reached. It returns the first error that says something
// else, errDraining, or the cause of ctx's end.
func (g *outageGate) through(ctx context.Context, work func() error) error {
	for {
		if err := g.wait(ctx); err != nil {
			return err
		}
		err := work()
		if !postgres.IsConnection(err) {
			g.rest.succeeded()
			return err
		}
		g.rest.failed()
	}
}

// wait returns when work may be tried.
func (g *outageGate) wait(ctx context.Context) error {
	for {
		left := g.rest.left()
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
