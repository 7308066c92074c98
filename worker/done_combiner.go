package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Numbers of the combiner.
const (
	// doneTasksMax bounds one script, which holds up Redis for half a millisecond then.
	doneTasksMax = 256
	// doneTimeout bounds one script, which belongs to many callers and so ends with none of their contexts.
	doneTimeout = 5 * time.Second
)

// doneScript ends tasks as asynq's `done` ends one: it leaves the active list and the lease set, its message is deleted, the counters of
// the day and of all days grow. Only that asynq begins the latter anew at 2^63-1, which nobody reaches.
//
//	KEYS  active list, lease set, counter of the day, counter of all days, then the key of each task
//	ARGV  unix time at which the counter of the day expires, then the id of each task
//
// It answers, for each task, 1, or 0 when the task was not where it should be. asynq compares the whole active list for each task; the
// list is filled from the left and what ends was begun long ago, so here it is looked for from the right.
var doneScript = redis.NewScript(`
local ended, answers = 0, {}
for i = 2, #ARGV do
	answers[i - 1] = 0
	if redis.call("LREM", KEYS[1], -1, ARGV[i]) == 1
		and redis.call("ZREM", KEYS[2], ARGV[i]) == 1
		and redis.call("DEL", KEYS[i + 3]) == 1 then
		ended = ended + 1
		answers[i - 1] = 1
	end
end
if ended > 0 then
	if redis.call("INCRBY", KEYS[3], ended) == ended then
		redis.call("EXPIREAT", KEYS[3], ARGV[1])
	end
	redis.call("INCRBY", KEYS[4], ended)
end
return answers
`)

// errTaskMissing has the text of asynq's `done` script.
var errTaskMissing = errors.New("NOT FOUND")

// doneCombiner ends tasks that finish together with one script instead of one each: one write, one read and one wake-up for many, and a
// third of the work in Redis. Tasks of one batch finish together, because the batch's commit answers them all.
//
// One script of a queue is under way at a time; what finishes meanwhile is in the next one. A call that finds none under way goes at
// once. Every caller is given its own reply. Nothing but `done` is combined: a repeated `done` answers NOT FOUND, whereas a repeated
// dequeue would lose a task for a minute. It may be used by many goroutines at once.
type doneCombiner struct {
	redis.UniversalClient
	metrics *metrics

	mu      sync.Mutex
	waiting map[doneQueue][]*doneCall // present, if empty, while a script is under way
}

// doneQueue is where tasks are ended by one script: a queue, on a day.
type doneQueue struct{ active, lease, day, total string }

// doneCall is one caller's task. Its caller is told once: to end the tasks that it is given, or, by nil, that reply is set.
type doneCall struct {
	key     string
	id      any
	expires any
	reply   *redis.Cmd
	told    chan []*doneCall
}

func newDoneCombiner(client redis.UniversalClient, m *metrics) *doneCombiner {
	return &doneCombiner{UniversalClient: client, metrics: m, waiting: map[doneQueue][]*doneCall{}}
}

// EvalSha runs a script by its hash.
func (c *doneCombiner) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if scriptOf(keys) != scriptDone || len(args) != 3 {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	queue := doneQueue{active: keys[0], lease: keys[1], day: keys[3], total: keys[4]}
	call := &doneCall{key: keys[2], id: args[0], expires: args[1]}
	calls := c.join(queue, call)
	if calls == nil {
		calls = <-call.told
	}
	if calls != nil {
		c.end(ctx, queue, calls)
		c.handOver(queue)
	}
	return call.reply
}

// join returns the call when no script of its queue is under way, and makes it wait otherwise.
func (c *doneCombiner) join(queue doneQueue, call *doneCall) []*doneCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting, underWay := c.waiting[queue]
	if !underWay {
		c.waiting[queue] = nil
		return []*doneCall{call}
	}
	call.told = make(chan []*doneCall, 1)
	c.waiting[queue] = append(waiting, call)
	return nil
}

// handOver makes one of the waiting callers end what waits.
func (c *doneCombiner) handOver(queue doneQueue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.waiting[queue]
	if len(waiting) == 0 {
		delete(c.waiting, queue)
		return
	}
	n := min(len(waiting), doneTasksMax)
	c.waiting[queue] = append([]*doneCall(nil), waiting[n:]...)
	waiting[0].told <- waiting[:n]
}

// end runs the script for all calls and tells all but the first, whose goroutine this is.
func (c *doneCombiner) end(ctx context.Context, queue doneQueue, calls []*doneCall) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doneTimeout)
	defer cancel()
	c.metrics.doneCombined.Observe(float64(len(calls)))
	keys := append(make([]string, 0, 4+len(calls)), queue.active, queue.lease, queue.day, queue.total)
	args := append(make([]any, 0, 1+len(calls)), calls[0].expires)
	for _, call := range calls {
		keys, args = append(keys, call.key), append(args, call.id)
	}
	answers, err := doneScript.Run(ctx, c.UniversalClient, keys, args...).Int64Slice()
	for i, call := range calls {
		switch {
		case err != nil:
			call.reply = redis.NewCmdResult(nil, err)
		case answers[i] == 0:
			call.reply = redis.NewCmdResult(nil, errTaskMissing)
		default:
			call.reply = redis.NewCmdResult("OK", nil)
		}
		if i > 0 {
			call.told <- nil
		}
	}
}
