package intake

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

const (
	// watchersMax bounds the calls that wait at a time. Those beyond it do not wait.
	watchersMax = 1000
	// watchEvery is how often PostgreSQL is asked for the outcomes that are waited for: for all of them at once.
	watchEvery = 10 * time.Millisecond
	// watchShare keeps the watch to this part of one connection: after an answer that took long it rests longer.
	watchShare = 5
	// watchOutageRest is how long PostgreSQL is left alone when it did not answer.
	watchOutageRest = time.Second
	// watchTimeout bounds one question.
	watchTimeout = 5 * time.Second
)

// outcomeWatch lets calls wait for the outcomes of their requests. One question to PostgreSQL is under way at a time, for all that
// are waited for: who waits costs it a row of that and nothing else. Being told by PostgreSQL would cost every batch a notification.
type outcomeWatch struct {
	reader *ledger.Reader
	clock  clock.Timer

	mu       sync.Mutex
	watchers map[uuid.UUID][]*watcher
	count    int
	asking   bool
}

// watcher is one call that waits. It is told at most once.
type watcher struct {
	request ledger.RequestRef
	told    chan tasks.Outcome
}

func newOutcomeWatch(reader *ledger.Reader, c clock.Timer) *outcomeWatch {
	return &outcomeWatch{reader: reader, clock: c, watchers: map[uuid.UUID][]*watcher{}}
}

// wait returns the outcome of a request once there is one, and nil when the time or ctx ends first, or enough is closed. waited is
// false when too many wait already.
func (o *outcomeWatch) wait(ctx context.Context, request ledger.RequestRef, most time.Duration, enough <-chan struct{}) (
	outcome *tasks.Outcome, waited bool,
) {
	w := o.add(ctx, request)
	if w == nil {
		return nil, false
	}
	defer o.remove(w)
	select {
	case told := <-w.told:
		return &told, true
	case <-o.clock.After(most):
	case <-enough:
	case <-ctx.Done():
	}
	return nil, true
}

func (o *outcomeWatch) add(ctx context.Context, request ledger.RequestRef) *watcher {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count >= watchersMax {
		return nil
	}
	w := &watcher{request: request, told: make(chan tasks.Outcome, 1)}
	o.watchers[request.ID] = append(o.watchers[request.ID], w)
	o.count++
	if !o.asking {
		o.asking = true
		go o.ask(context.WithoutCancel(ctx)) // others may wait for the answer when this caller has left
	}
	return w
}

func (o *outcomeWatch) remove(w *watcher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rest := o.watchers[w.request.ID][:0]
	for _, other := range o.watchers[w.request.ID] {
		if other != w {
			rest = append(rest, other)
		}
	}
	o.count--
	if len(rest) == 0 {
		delete(o.watchers, w.request.ID)
	} else {
		o.watchers[w.request.ID] = rest
	}
}

// ask asks until nobody waits.
func (o *outcomeWatch) ask(ctx context.Context) {
	rest := watchEvery
	for {
		<-o.clock.After(rest)
		requests := o.watched()
		if requests == nil {
			return
		}
		begun := o.clock.Now()
		if err := o.tell(ctx, requests); err != nil {
			rest = watchOutageRest // who waits is answered that it was accepted
			continue
		}
		rest = max(watchEvery, (watchShare-1)*o.clock.Now().Sub(begun))
	}
}

// watched lists what is waited for. When that is nothing the asking ends.
func (o *outcomeWatch) watched() []ledger.RequestRef {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.watchers) == 0 {
		o.asking = false
		return nil
	}
	requests := make([]ledger.RequestRef, 0, len(o.watchers))
	for _, watchers := range o.watchers {
		requests = append(requests, watchers[0].request)
	}
	return requests
}

func (o *outcomeWatch) tell(ctx context.Context, requests []ledger.RequestRef) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	outcomes, err := o.reader.Outcomes(ctx, requests)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, outcome := range outcomes {
		for _, w := range o.watchers[id] {
			select {
			case w.told <- outcome:
			default: // it was told before, and has not left yet
			}
		}
	}
	return nil
}
