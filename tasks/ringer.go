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

// ringer rings for accepted requests behind the callers' backs: an acceptance never waits for Redis.
type ringer struct {
	doorbell *Doorbell
	size     int
	onError  func(error)

	mu      sync.Mutex
	arrived *sync.Cond
	waiting []Bell
	closed  bool
	running sync.WaitGroup
}

// startRinger runs until stop; ctx carries values, not cancellation, to the rings.
func startRinger(ctx context.Context, doorbell *Doorbell, config ClientConfig) *ringer {
	r := &ringer{doorbell: doorbell, size: config.RingSize, onError: config.OnRingError}
	r.arrived = sync.NewCond(&r.mu)
	if doorbell != nil {
		r.running.Go(func() { r.run(context.WithoutCancel(ctx)) })
	}
	return r
}

// ring hands over the receipts of accepted requests.
func (r *ringer) ring(receipts []Receipt) {
	if r.doorbell == nil {
		return
	}
	r.mu.Lock()
	for i := range receipts {
		receipt := &receipts[i]
		if receipt.Status == Accepted && len(r.waiting) < bellsWaitingMax {
			r.waiting = append(r.waiting, Bell{Kind: receipt.Kind, Book: receipt.Book, ID: receipt.ID})
		}
	}
	r.mu.Unlock()
	r.arrived.Signal()
}

func (r *ringer) run(ctx context.Context) {
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

func (r *ringer) stop() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.arrived.Broadcast()
	r.running.Wait()
}
