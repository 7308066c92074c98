package tasks

import (
	"context"
	"sync"
	"time"
)

// ringTimeout bounds one pipeline; a Redis that needs longer is left to the relay.
const ringTimeout = 3 * time.Second

// bellsWaitingMax bounds what waits for a slow Redis. What does not fit is left to the relay.
const bellsWaitingMax = 100_000

// Ringer rings behind its callers' backs: they never wait for Redis. What it gathers while a pipeline is under way goes into the
// next one. It may be used by many goroutines at once.
type Ringer struct {
	doorbell *Doorbell
	size     int
	onError  func(error)

	mu      sync.Mutex
	arrived *sync.Cond
	waiting []Bell
	closed  bool
	running sync.WaitGroup
}

// NewRinger starts a ringer that names up to size requests in a ring. It runs until Close; ctx gives it values, not cancellation.
// onError may be nil; what could not be rung is left to the relay. A nil doorbell rings nothing.
func NewRinger(ctx context.Context, doorbell *Doorbell, size int, onError func(error)) *Ringer {
	r := &Ringer{doorbell: doorbell, size: size, onError: onError}
	r.arrived = sync.NewCond(&r.mu)
	if doorbell != nil {
		r.running.Go(func() { r.run(context.WithoutCancel(ctx)) })
	}
	return r
}

// Ring hands over bells and returns at once. Too many at a time, and those after Close, are left to the relay.
func (r *Ringer) Ring(bells []Bell) {
	if r.doorbell == nil {
		return
	}
	r.mu.Lock()
	if room := bellsWaitingMax - len(r.waiting); !r.closed && room > 0 {
		r.waiting = append(r.waiting, bells[:min(room, len(bells))]...)
	}
	r.mu.Unlock()
	r.arrived.Signal()
}

// ringAccepted rings for the requests that were stored just now.
func (r *Ringer) ringAccepted(receipts []Receipt) {
	bells := make([]Bell, 0, len(receipts))
	for i := range receipts {
		if receipt := &receipts[i]; receipt.Status == Accepted {
			bells = append(bells, Bell{Kind: receipt.Kind, Book: receipt.Book, ID: receipt.ID})
		}
	}
	r.Ring(bells)
}

func (r *Ringer) run(ctx context.Context) {
	for {
		r.mu.Lock()
		for len(r.waiting) == 0 && !r.closed {
			r.arrived.Wait()
		}
		bells := r.waiting
		r.waiting = nil
		r.mu.Unlock()
		if len(bells) == 0 {
			return
		}
		ringCtx, cancel := context.WithTimeout(ctx, ringTimeout)
		if err := r.doorbell.Ring(ringCtx, bells, r.size, false); err != nil && r.onError != nil {
			r.onError(err)
		}
		cancel()
	}
}

// Close rings for what waits and stops.
func (r *Ringer) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.arrived.Broadcast()
	r.running.Wait()
}
