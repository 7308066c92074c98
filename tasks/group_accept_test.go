package tasks

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// resting is a group whose one acceptor rests for an hour while requests arrive; what it takes is sent to taken.
type resting struct {
	*groupAccept
	taken chan int
}

func newResting(inserting int) *resting {
	g := &groupAccept{inserting: inserting, config: ClientConfig{BatchMax: 500}}
	g.changed = sync.NewCond(&g.mu)
	r := &resting{groupAccept: g, taken: make(chan int, 1)}
	go func() { r.taken <- len(g.take(time.Hour)) }()
	return r
}

func (r *resting) arrive(n int) {
	for range n {
		r.mu.Lock()
		r.waiting = append(r.waiting, &acceptance{})
		r.mu.Unlock()
		r.changed.Signal()
	}
	synctest.Wait()
}

// takes fails the test unless the acceptor has begun with want requests; 0 says that it rests.
func (r *resting) takes(t *testing.T, want int) {
	t.Helper()
	got := 0
	select {
	case got = <-r.taken:
	default:
	}
	if got != want {
		t.Errorf("the acceptor began with %d requests, want %d", got, want)
	}
}

func TestAcceptorRestsUntilEnoughWait(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]struct{ inserting, enough int }{
		"no insert is under way":      {inserting: 0, enough: restEnough},
		"another insert is under way": {inserting: 1, enough: restFull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newResting(rest.inserting)
				r.arrive(rest.enough - 1)
				r.takes(t, 0)
				r.arrive(1)
				r.takes(t, rest.enough)
			})
		})
	}
}

func TestAcceptorThatRestsBeginsWhenTheOtherInsertEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newResting(1)
		r.arrive(restEnough)
		r.takes(t, 0)
		r.ended()
		synctest.Wait()
		r.takes(t, restEnough)
	})
}

func TestAcceptorRestsNoLongerThanItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newResting(1)
		r.arrive(1)
		r.takes(t, 0)
		if n := <-r.taken; n != 1 { // the bubble's time runs ahead
			t.Errorf("the acceptor began with %d requests, want the one that waits", n)
		}
	})
}
