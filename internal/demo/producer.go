package demo

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

const (
	// ProducersCount is how many goroutines ask at once in the day: an order system's few processes with some requests under way in each.
	ProducersCount = 64
	// handMax is how many scenes a producer has begun and not finished, so that the turns of one are apart in time.
	handMax = 12
	// askAgainAfter is the pause before an ask without an answer is repeated.
	askAgainAfter = 200 * time.Millisecond
)

// producers ask what a plan says through one client, and record the answers.
type producers struct {
	client   *tasks.Client
	channels *Channels // where recharges are paid; it may be nil where there are none to pay
	record   *Record
	clock    clock.Timer
	pace     *pace
	seed     uint64
}

// play plays scenes until all are over or ctx ends.
func (p *producers) play(ctx context.Context, scenes []Scene) error {
	left := make(chan Scene, len(scenes))
	for _, scene := range scenes {
		left <- scene
	}
	close(left)
	var running sync.WaitGroup
	for i := range min(ProducersCount, max(1, len(scenes)/4)) {
		rng := rand.New(rand.NewPCG(p.seed, uint64(i)+100))
		running.Go(func() { p.playHand(ctx, left, rng) })
	}
	running.Wait()
	return context.Cause(ctx)
}

// playHand keeps a hand of scenes and takes the next turn of one of them at a time.
func (p *producers) playHand(ctx context.Context, left <-chan Scene, rng *rand.Rand) {
	var hand []Scene
	for ctx.Err() == nil {
		for len(hand) < handMax {
			scene, more := <-left
			if !more {
				break
			}
			hand = append(hand, scene)
		}
		if len(hand) == 0 {
			return
		}
		i := rng.IntN(len(hand))
		turn := hand[i][0]
		if hand[i] = hand[i][1:]; len(hand[i]) == 0 {
			hand[i] = hand[len(hand)-1]
			hand = hand[:len(hand)-1]
		}
		p.take(ctx, turn)
	}
}

// take asks a turn, as many times at once as it says.
func (p *producers) take(ctx context.Context, turn Turn) {
	var others sync.WaitGroup
	for range turn.copies() - 1 {
		others.Go(func() { p.ask(ctx, turn) })
	}
	p.ask(ctx, turn)
	others.Wait()
}

// ask asks until the answer is known: asking again is safe, because the key is the same.
func (p *producers) ask(ctx context.Context, turn Turn) {
	for p.pace.wait(ctx, p.clock) {
		receipt, err := p.put(ctx, turn)
		if isAnswer(err) {
			p.record.Answer(turn.Ask, turn.Other != nil, receipt, err)
			return
		}
		p.record.Unknown(turn.Ask)
		select {
		case <-p.clock.After(askAgainAfter):
		case <-ctx.Done():
		}
	}
}

// put asks once: a producer itself, or the channel at which a user pays.
func (p *producers) put(ctx context.Context, turn Turn) (tasks.Receipt, error) {
	switch {
	case turn.Other != nil:
		return p.client.Enqueue(ctx, turn.Other)
	case turn.Ask.RechargeOrder != nil:
		return p.channels.pay(ctx, turn.Ask)
	default:
		return p.client.Enqueue(ctx, turn.Ask.Payload)
	}
}

// askMany asks a chunk of requests with one insert, until the answers are known.
func (p *producers) askMany(ctx context.Context, asks []*Ask) error {
	payloads := make([]tasks.Payload, len(asks))
	for i, ask := range asks {
		payloads[i] = ask.Payload
	}
	for {
		items, err := p.client.EnqueueMany(ctx, payloads)
		if err == nil {
			for i, item := range items {
				p.record.Answer(asks[i], false, item.Receipt, item.Err)
			}
			return nil
		}
		for _, ask := range asks {
			p.record.Unknown(ask)
		}
		select {
		case <-p.clock.After(askAgainAfter):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// isAnswer says that what put returned is known to be so.
func isAnswer(err error) bool {
	var conflict *tasks.ConflictError
	var refused *tasks.FieldError
	return err == nil || errors.As(err, &conflict) || errors.As(err, &refused)
}

// pace spaces asks evenly. The nil pace lets everybody ask at once.
type pace struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

// newPace is a pace of so many asks a second; 0 is none.
func newPace(perSecond int) *pace {
	if perSecond <= 0 {
		return nil
	}
	return &pace{every: time.Second / time.Duration(perSecond)}
}

// wait waits for the caller's turn; false when ctx ended first. Who comes late does not make up for it beyond a moment, so that a
// pause is not followed by a burst.
func (p *pace) wait(ctx context.Context, timer clock.Timer) bool {
	if p == nil {
		return ctx.Err() == nil
	}
	const burst = 20 * time.Millisecond
	p.mu.Lock()
	now := timer.Now()
	if earliest := now.Add(-burst); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.every)
	due := p.next.Sub(now)
	p.mu.Unlock()
	if due <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-timer.After(due):
		return true
	case <-ctx.Done():
		return false
	}
}
