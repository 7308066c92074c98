package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

func TestTurnsComeApart(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(noon)
	p := pacesOf(map[tasks.Source]channel.Refunder{tasks.SourceWeChat: nil}, 10, now)[tasks.SourceWeChat]
	if err := p.wait(t.Context()); err != nil {
		t.Fatalf("the first turn: %v", err)
	}
	const waiting = 3
	turns := make(chan error, waiting)
	for range waiting {
		go func() { turns <- p.wait(t.Context()) }()
	}
	if err := now.WaitForTimers(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	for range waiting {
		select {
		case <-turns:
			t.Fatal("a turn came before its time")
		default:
		}
		now.Advance(100 * time.Millisecond)
		if err := <-turns; err != nil {
			t.Fatal(err)
		}
	}
	now.Advance(time.Hour) // no turn is made up for
	ended, end := context.WithCancelCause(t.Context())
	end(errDraining)
	for i, want := range []error{nil, errDraining} {
		if err := p.wait(ended); !errors.Is(err, want) {
			t.Errorf("turn %d after an hour: %v, want %v", i, err, want)
		}
	}
}

// A channel that refuses what comes too fast is not asked faster than it takes.
func TestCallsToAChannelAreNoFasterThanItsRate(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	now := clock.NewManual(noon)
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.Clock, c.ChannelRate, c.ChannelTimeout = now, 100, time.Minute
	})
	const refunds = 20
	ring := ringOf(s.accept(t, refundOrders(refunds)...))
	sent, waiting := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := w.observer.handler.sender.send(t.Context(), ring)
		sent <- err
	}()
	go func() { waiting <- now.WaitForTimers(t.Context(), refunds-1) }()
	select {
	case err := <-waiting:
		if err != nil {
			t.Fatal(err)
		}
	case err := <-sent:
		t.Fatalf("all calls were made at once: %v", err)
	}
	now.Advance(10 * time.Millisecond * (refunds - 1))
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := s.outcomesOf(t, tasks.RefundSend); got != refunds || len(scripted.calls) != refunds {
		t.Errorf("%d refunds were applied after %d calls, want %d", got, len(scripted.calls), refunds)
	}
}
