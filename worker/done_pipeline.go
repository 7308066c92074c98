package worker

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Numbers of the pipeline.
const (
	// donePipelineMax bounds one pipeline, so that no caller waits for a long one.
	donePipelineMax = 256
	// donePipelineTimeout bounds one pipeline, which belongs to many callers and so ends with none of their contexts.
	donePipelineTimeout = 5 * time.Second
)

// donePipeline sends the `done` scripts of tasks that finish together in one pipeline: one write, one read and one wake-up for many.
// Tasks of one batch finish together, because the batch's commit answers them all.
//
// One pipeline is under way at a time; what finishes meanwhile is the next one. A call that finds none under way goes straight. Every
// caller is given its own reply. Nothing but `done` passes through: a repeated `done` answers NOT FOUND, whereas a repeated dequeue
// would lose a task for a minute. It may be used by many goroutines at once.
type donePipeline struct {
	redis.UniversalClient
	metrics *metrics

	mu      sync.Mutex
	sending bool
	waiting []*doneCall
}

// doneCall is one caller's script. Its caller is told once: to send the batch that it is given, or, by nil, that reply is set.
type doneCall struct {
	sha   string
	keys  []string
	args  []any
	reply *redis.Cmd
	told  chan []*doneCall
}

// EvalSha runs a script by its hash.
func (p *donePipeline) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if scriptOf(keys) != scriptDone {
		return p.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	p.mu.Lock()
	if !p.sending {
		p.sending = true
		p.mu.Unlock()
		p.metrics.donePipelined.Observe(1)
		reply := p.UniversalClient.EvalSha(ctx, sha, keys, args...)
		p.handOver()
		return reply
	}
	call := &doneCall{sha: sha, keys: keys, args: args, told: make(chan []*doneCall, 1)}
	p.waiting = append(p.waiting, call)
	p.mu.Unlock()
	if batch := <-call.told; batch != nil {
		p.send(ctx, batch)
		p.handOver()
	}
	return call.reply
}

// handOver makes one of the waiting callers send what waits.
func (p *donePipeline) handOver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.sending = false
		return
	}
	n := min(len(p.waiting), donePipelineMax)
	batch := append([]*doneCall(nil), p.waiting[:n]...)
	p.waiting = append(p.waiting[:0], p.waiting[n:]...)
	batch[0].told <- batch
}

func (p *donePipeline) send(ctx context.Context, batch []*doneCall) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), donePipelineTimeout)
	defer cancel()
	p.metrics.donePipelined.Observe(float64(len(batch)))
	pipe := p.Pipeline()
	for _, call := range batch {
		call.reply = pipe.EvalSha(ctx, call.sha, call.keys, call.args...)
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error
	for _, call := range batch[1:] {
		call.told <- nil
	}
}
