package intake

import (
	"context"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// The bounds of the lists in memory. A list is read whole, so that one whose body comes slowly is in memory for as long as its
// client takes, up to listTimeout.
const (
	// ListsInMemory bounds the bodies of all lists to ListsInMemory times ListBytesMax, 192 MiB, and usually all else that they hold to less
	// than half of that: decoded are two chunks of each. Answers of conflicts have what differs in them, which is twice a body at most.
	ListsInMemory = 12
	// ListsOfKey is the part of them that one API key may have: four keys would have to be slow at once to keep all others waiting.
	ListsOfKey = 3
	// listsAtOnce bounds those of them that are being accepted, and with them the connections to PostgreSQL that they take.
	listsAtOnce = 8
)

// listRoom lets lists into memory. Its zero value is no room; see newListRoom.
type listRoom struct {
	all chan struct{}

	mu   sync.Mutex
	keys map[string]*keyRoom // of the keys that have a list in memory, or wait for it
}

// keyRoom is one key's part of the room.
type keyRoom struct {
	lists chan struct{}
	users int // calls that hold it, under listRoom.mu
}

func newListRoom() *listRoom {
	return &listRoom{all: make(chan struct{}, ListsInMemory), keys: map[string]*keyRoom{}}
}

// enter waits until a key has fewer than ListsOfKey lists in memory, and all keys together fewer than ListsInMemory. A problem says
// which of the two did not come about within answerTimeout, or that ctx ended; nothing is held then.
func (r *listRoom) enter(ctx context.Context, c clock.Timer, key string) (leave func(), problem *Problem) {
	own := r.of(key)
	late := c.After(answerTimeout)
	if !takeSlot(ctx, own.lists, late) {
		r.leave(key)
		return nil, tooMuchOfKey("the key has as many lists under way as it may; nothing was done: ask again when one of them is answered")
	}
	if !takeSlot(ctx, r.all, late) {
		<-own.lists
		r.leave(key)
		return nil, busy("too many lists are read at once; nothing was done: ask again")
	}
	return func() {
		<-r.all
		<-own.lists
		r.leave(key)
	}, nil
}

func (r *listRoom) of(key string) *keyRoom {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.keys[key]
	if own == nil {
		own = &keyRoom{lists: make(chan struct{}, ListsOfKey)}
		r.keys[key] = own
	}
	own.users++
	return own
}

// leave forgets a key that nobody uses.
func (r *listRoom) leave(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.keys[key]
	if own.users--; own.users == 0 {
		delete(r.keys, key)
	}
}

// takeSlot takes a slot, and says whether it did before it was late or ctx ended.
func takeSlot(ctx context.Context, slots chan struct{}, late <-chan time.Time) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-late:
	case <-ctx.Done():
	}
	return false
}
