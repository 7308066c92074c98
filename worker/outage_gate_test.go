package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settled-dev/settled/internal/clock"
)

var (
	errAway = &pgconn.PgError{Code: "57P01"}
	errBusy = &pgconn.PgError{Code: "55P03"}
)

func TestWorkIsTriedAgainWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(noon)
	gate := newOutageGate(now, make(chan struct{}))
	tries := make(chan time.Time)
	result := make(chan error, 1)
	go func() {
		n := 0
		result <- gate.through(t.Context(), func() error {
			tries <- now.Now()
			if n++; n <= 8 {
				return errAway
			}
			return errBusy
		})
	}()
	previous := <-tries
	for range 8 {
		if err := now.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		now.Advance(gateDelayMax)
		at := <-tries
		if at.Equal(previous) {
			t.Fatal("tried again without a pause")
		}
		previous = at
	}
	if err := <-result; !errors.Is(err, errBusy) {
		t.Errorf("returned %v, want the first error that is no outage", err)
	}
}

func TestGateLetsGoWhenTheWorkerStopsOrTimeIsUp(t *testing.T) {
	t.Parallel()
	draining := make(chan struct{})
	gate := newOutageGate(clock.NewManual(noon), draining)
	gate.rest.failed()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gate.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with its time up a handler is told %v", err)
	}
	close(draining)
	if err := gate.wait(t.Context()); !errors.Is(err, errDraining) {
		t.Errorf("when the worker stops a handler is told %v", err)
	}
}
