package clock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Manual is a clock that moves only by Set and Advance. Moving it fires, in order of their due times, the timers that
// the move reached or passed. Safe for concurrent use.
//
// A test of code that waits: start the code, WaitForTimers until it waits, Advance, then wait for what the code does.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	timers  []manualTimer
	changed chan struct{} // closed and replaced whenever a timer is added
}

type manualTimer struct {
	due time.Time
	ch  chan time.Time
}

// NewManual returns a Manual that reads start.
func NewManual(start time.Time) *Manual {
	return &Manual{now: start, changed: make(chan struct{})}
}

// Now returns the instant last set.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// After returns a channel that receives its due time when the clock has been moved d or more beyond now. For d <= 0 it
// is ready at once.
func (m *Manual) After(d time.Duration) <-chan time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	ch := make(chan time.Time, 1)
	if d <= 0 {
		ch <- m.now
		return ch
	}
	m.timers = append(m.timers, manualTimer{due: m.now.Add(d), ch: ch})
	close(m.changed)
	m.changed = make(chan struct{})
	return ch
}

// Advance moves the clock by d and fires the timers that came due. A negative d is a clock set back: no timer fires,
// and those that wait keep their due times.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moveTo(m.now.Add(d))
}

// Set moves the clock to t, forward or back, and fires the timers that came due.
func (m *Manual) Set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moveTo(t)
}

// WaitForTimers returns when at least n timers wait on the clock, or with ctx's error.
func (m *Manual) WaitForTimers(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		waiting, changed := len(m.timers), m.changed
		m.mu.Unlock()
		if waiting >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d timers, %d wait: %w", n, waiting, ctx.Err())
		}
	}
}

// moveTo sets the time and fires what is due. The caller holds mu.
func (m *Manual) moveTo(t time.Time) {
	m.now = t
	slices.SortStableFunc(m.timers, func(a, b manualTimer) int { return a.due.Compare(b.due) })
	waiting := m.timers[:0]
	for _, timer := range m.timers {
		if timer.due.After(t) {
			waiting = append(waiting, timer)
			continue
		}
		timer.ch <- timer.due // never blocks: room for one, sent once
	}
	clear(m.timers[len(waiting):])
	m.timers = waiting
}
