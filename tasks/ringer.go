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

// ringerRest is how long a ringer lets bells gather after it has rung for several (docs/adr/0018). A lone bell is followed by no rest.
const ringerRest = 10 * time.Millisecond

// Ringer rings behind its callers' backs: they never wait for Redis. What it gathers while a pipeline is under way, and while it rests
// after one, goes into the next one. It may be used by many goroutines at once.
type Ringer struct {
	doorbell *Doorbell
	size     int
	rest     time.Duration
	onError  func(error)

	arrived chan struct{} // holds one when bells wait
	closing chan struct{} // closed, under mu, when no more come
	running sync.WaitGroup

	mu      sync.Mutex
	waiting []Bell
}

// NewRinger starts a ringer that names up to size requests in a ring. It runs until Close; ctx gives it values, not cancellation.
// onError may be nil; what could not be rung is left to the relay. A nil doorbell rings nothing.
func NewRinger(ctx context.Context, doorbell *Doorbell, size int, onError func(error)) *Ringer {
	return startRinger(ctx, doorbell, size, ringerRest, onError)
}

func startRinger(ctx context.Context, doorbell *Doorbell, size int, rest time.Duration, onError func(error)) *Ringer {
	r := &Ringer{doorbell: doorbell, size: size, rest: rest, onError: onError, arrived: make(chan struct{}, 1), closing: make(chan struct{})}
	if doorbell != nil {
		r.running.Go(func() { r.run(context.WithoutCancel(ctx)) })
	}
	return r
}

// Ring hands over bells and returns at once. Too many at a time, and those after Close, are left to the relay.
func (r *Ringer) Ring(bells []Bell) {
	if r.doorbell == nil || len(bells) == 0 {
		return
	}
	r.mu.Lock()
	if room := bellsWaitingMax - len(r.waiting); room > 0 && !r.isClosed() {
		r.waiting = append(r.waiting, bells[:min(room, len(bells))]...)
	}
	r.mu.Unlock()
	select {
	case r.arrived <- struct{}{}:
	default:
	}
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
		select {
		case <-r.arrived:
		case <-r.closing:
			r.ringWaiting(ctx)
			return
		}
		if r.ringWaiting(ctx) > 1 {
			select {
			case <-time.After(r.rest):
			case <-r.closing:
			}
		}
	}
}

// ringWaiting rings for what waits and says for how many.
func (r *Ringer) ringWaiting(ctx context.Context) int {
	r.mu.Lock()
	bells := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	if err := r.doorbell.Ring(ctx, bells, r.size, false); err != nil && r.onError != nil {
		r.onError(err)
	}
	return len(bells)
}

// Close rings for what waits, without a rest, and stops.
func (r *Ringer) Close() {
	r.mu.Lock()
	if !r.isClosed() {
		close(r.closing)
	}
	r.mu.Unlock()
	r.running.Wait()
}

// isClosed says whether Close was called. The caller holds the lock.
func (r *Ringer) isClosed() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}
