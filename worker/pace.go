package worker

import (
	"context"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// pace spaces calls, so that a channel is not asked more often than it allows: WeChat Pay takes 150 refunds a second of a merchant. It may be
// used by many goroutines at once.
type pace struct {
	clock clock.Timer
	apart time.Duration // between two turns; 0 lets everybody through

	mu   sync.Mutex
	next time.Time
}

// pacesOf makes a pace for each channel: perSecond turns a second, all of them where it is 0.
func pacesOf(refunders map[tasks.Source]channel.Refunder, perSecond int, timer clock.Timer) map[tasks.Source]*pace {
	paces := make(map[tasks.Source]*pace, len(refunders))
	for source := range refunders {
		paces[source] = &pace{clock: timer}
		if perSecond > 0 {
			paces[source].apart = time.Second / time.Duration(perSecond)
		}
	}
	return paces
}

// wait returns when it is the caller's turn, or with the cause of ctx's end. A turn that nobody waited for is lost: none is made up for.
func (p *pace) wait(ctx context.Context) error {
	if p.apart == 0 {
		return nil
	}
	p.mu.Lock()
	now := p.clock.Now()
	turn := now
	if p.next.After(now) {
		turn = p.next
	}
	p.next = turn.Add(p.apart)
	p.mu.Unlock()
	if !turn.After(now) {
		return nil
	}
	select {
	case <-p.clock.After(turn.Sub(now)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
