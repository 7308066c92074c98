package worker

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Numbers of the idle wait.
const (
	// idleRound is how long Redis blocks at most: a server that is told to stop answers after it.
	idleRound = 500 * time.Millisecond
	// idleRounds bounds one dequeue: asynq took the end of the task's lease, 30 s away, before it asked.
	idleRounds = 10
)

// idleWait lets an idle server wait for the next task inside Redis instead of asking again and again. asynq polls: an interval short
// enough for a till cost a fifth of a core with nothing to do.
//
// A dequeue that finds nothing is followed by BLMOVE from the right end of the pending list to the same end, which blocks until the
// list has an element and then changes nothing. The dequeue is then asked again. One server of a queue waits so; the others of the
// process poll, because all of them would wake for one task.
//
// It may be used by many goroutines at once.
type idleWait struct {
	redis.UniversalClient

	mu      sync.Mutex
	waiting map[string]bool // pending lists that a server waits for
	closed  bool            // nobody waits any more: the servers stop, or Redis refuses the command itself
}

func newIdleWait(client redis.UniversalClient) *idleWait {
	return &idleWait{UniversalClient: client, waiting: map[string]bool{}}
}

// EvalSha runs a script by its hash.
func (w *idleWait) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	reply := w.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if scriptOf(keys) != scriptDequeue || !errors.Is(reply.Err(), redis.Nil) || !w.begin(keys[0]) {
		return reply
	}
	defer w.end(keys[0])
	err := w.wait(ctx, keys[0])
	switch {
	case err == nil:
		return w.UniversalClient.EvalSha(ctx, sha, keys, args...)
	case errors.Is(err, redis.Nil):
		return reply
	case isRefusedCommand(err):
		w.close()
		return reply
	default: // also a Redis that loads its data or has become a replica: the next dequeue tries again
		return redis.NewCmdResult(nil, err)
	}
}

// isRefusedCommand says that Redis, or a proxy before it, will never run the command for us: it does not know it, or we may not.
func isRefusedCommand(err error) bool {
	return redis.HasErrorPrefix(err, "unknown command") || redis.HasErrorPrefix(err, "NOPERM")
}

// wait blocks until the list has an element. It returns redis.Nil when it has none for long, or when the servers stop.
func (w *idleWait) wait(ctx context.Context, list string) error {
	seconds := strconv.FormatFloat(idleRound.Seconds(), 'f', 3, 64)
	for range idleRounds {
		err := w.Do(ctx, "BLMOVE", list, list, "RIGHT", "RIGHT", seconds).Err()
		if !errors.Is(err, redis.Nil) || w.isClosed() {
			return err
		}
	}
	return redis.Nil
}

// begin says whether the caller is the one that waits for the list.
func (w *idleWait) begin(list string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.waiting[list] {
		return false
	}
	w.waiting[list] = true
	return true
}

func (w *idleWait) end(list string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, list)
}

func (w *idleWait) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// close ends all waits within a round, for good.
func (w *idleWait) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}
