package demo

import (
	"errors"
	"sync"

	"github.com/settled-dev/settled/tasks"
)

// Record is what the producers know: what they asked, and what they were answered. It never looks at the books. Its methods may be
// called at the same time.
type Record struct {
	mu      sync.Mutex
	entries map[requestName]*entry
	inOrder []*entry
	tally   Tally
}

// Tally counts the producers' answers.
type Tally struct {
	Asked     int // every time that something was asked and answered
	Accepted  int
	Replayed  int
	Conflicts int
	Refused   int // for a field; a plan asks nothing that may be
	Unknown   int // asked again until the answer was known
}

// entry is one request, with all the answers to it.
type entry struct {
	ask       *Ask
	accepted  int
	replayed  int
	conflicts int // of the content that should have been taken
	taken     int // of the other content, which should have been a conflict
	refused   error
	unknown   int
	told      tasks.Result // what a replay said that had become of it
}

// NewRecord makes an empty record.
func NewRecord() *Record { return &Record{entries: map[requestName]*entry{}} }

// Answer notes the answer to an ask, or to other content under its key.
func (r *Record) Answer(ask *Ask, other bool, receipt tasks.Receipt, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(ask)
	r.tally.Asked++
	var conflict *tasks.ConflictError
	switch {
	case errors.As(err, &conflict):
		r.tally.Conflicts++
		if !other {
			e.conflicts++
		}
	case err != nil:
		r.tally.Refused++
		e.refused = err
	case other:
		e.taken++
	case receipt.Status == tasks.Accepted:
		r.tally.Accepted++
		e.accepted++
	default:
		r.tally.Replayed++
		e.replayed++
		if receipt.Outcome != nil {
			e.told = receipt.Outcome.Result
		}
	}
}

// Unknown notes that an ask was not answered: it may have been accepted, and is asked again.
func (r *Record) Unknown(ask *Ask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entry(ask).unknown++
	r.tally.Unknown++
}

// entry finds or makes the ask's entry. The caller holds mu.
func (r *Record) entry(ask *Ask) *entry {
	e := r.entries[ask.name()]
	if e == nil {
		e = &entry{ask: ask}
		r.entries[ask.name()] = e
		r.inOrder = append(r.inOrder, e)
	}
	return e
}

// Tally returns the counts so far.
func (r *Record) Tally() Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally
}

// Holdings are what everybody must hold, in fen, when everything that was accepted is decided. Of a contest, as many are counted as
// can win.
func (r *Record) Holdings() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	holdings := make(map[string]int64, 2*len(r.inOrder))
	won := map[*Contest]int{}
	for _, e := range r.inOrder {
		if e.ask.Fate != FateApplied || !e.acknowledged() {
			continue
		}
		if contest := e.ask.Contest; contest != nil {
			if won[contest]++; won[contest] > contest.Wins {
				continue
			}
		}
		for _, effect := range e.ask.Effects {
			holdings[effect.Holder] += effect.Fen
		}
	}
	return holdings
}

// acknowledged says that a producer was told that the request is stored.
func (e *entry) acknowledged() bool { return e.accepted+e.replayed > 0 }
