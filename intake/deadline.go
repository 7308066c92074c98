package intake

import (
	"context"
	"sync/atomic"
	"time"
)

// deadlineShare is how long calls share a deadline: the one that comes last still has answerTimeout.
const deadlineShare = 100 * time.Millisecond

// deadlines hands out contexts that end between answerTimeout and deadlineShare more after they are asked for. Calls that begin together
// share one: one of its own, below the call's, costs a tenth of what the API does for an acceptance. So it does not end when a caller
// leaves; what it asked for may be stored then, which it cannot know anyway. It may be used by many goroutines at once.
type deadlines struct{ current atomic.Pointer[deadline] }

type deadline struct {
	ctx      context.Context //nolint:containedctx // it is what is handed out
	sharedTo time.Time
}

// after returns a context for a call that begins now. Its values are those of the first call that shares it: log with the call's own.
func (d *deadlines) after(call context.Context, now time.Time) context.Context {
	if shared := d.current.Load(); shared != nil && now.Before(shared.sharedTo) && shared.ctx.Err() == nil {
		return shared.ctx
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(call), answerTimeout+deadlineShare)
	context.AfterFunc(ctx, cancel) // nobody ends it early
	d.current.Store(&deadline{ctx: ctx, sharedTo: now.Add(deadlineShare)})
	return ctx
}
