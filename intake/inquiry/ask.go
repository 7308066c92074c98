package inquiry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/notice"
)

// answer is what an inquiry came to.
type answer struct {
	asked  bool // false: it was not made, or was cut short by the end of this process
	became result
}

// times are when an order is to be asked about again, and from when on somebody may try.
type times struct{ dueAt, tryAt time.Time }

// leadsTo says when an order is to be asked about again; false when never. It is pure.
func (a answer) leadsTo(d *due, now time.Time) (times, bool) {
	switch {
	case !a.asked:
		return times{d.dueAt, d.tryAt}, true
	case a.became == resultUnanswered || a.became == resultUnreadable || a.became == resultFailed:
		// It waits as long again as it has waited: no order is forgotten, and a channel that comes back is not stormed.
		waited := max(now.Sub(d.dueAt), 0) // a clock may be set back
		return times{d.dueAt, d.dueAt.Add(waited + min(max(waited, pauseMin), pauseMax))}, true
	case a.became == resultUnpaid || a.became == resultUnknownNumber || a.became == resultRefused:
		next, more := d.order.NextInquiry(now)
		return times{next, next}, more
	default:
		return times{}, false
	}
}

// askAll asks about each order, share at once, in their order. Once the channel does not answer no more are begun.
func (q *Inquirer) askAll(ctx context.Context, port channel.PaymentQuerier, claimed []due, share int) []answer {
	answers := make([]answer, len(claimed))
	var next atomic.Int64
	var away atomic.Bool
	var asking sync.WaitGroup
	for range min(share, len(claimed)) {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(claimed) && !away.Load() && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if answers[i] = q.ask(ctx, port, &claimed[i]); answers[i].became == resultUnanswered {
					away.Store(true)
				}
			}
		})
	}
	asking.Wait()
	return answers
}

// ask asks about one order and accepts what was paid. It never panics.
func (q *Inquirer) ask(ctx context.Context, port channel.PaymentQuerier, d *due) (a answer) {
	source := d.order.Channel
	a.asked = true
	became, err := q.inquire(ctx, port, d)
	if err != nil && ctx.Err() != nil {
		return answer{}
	}
	a.became = became
	q.metrics.asked(source, became)
	q.tell(ctx, d, became, err)
	return a
}

// inquire returns a result and, where it is refused, unanswered, unreadable or failed, why.
func (q *Inquirer) inquire(ctx context.Context, port channel.PaymentQuerier, d *due) (became result, err error) {
	defer func() {
		if value := recover(); value != nil {
			became, err = resultFailed, fmt.Errorf("%w: %v\n%s", errPanicked, value, debug.Stack())
		}
	}()
	said, err := q.call(ctx, port, d)
	switch {
	case errors.Is(err, channel.ErrUnpaid):
		return resultUnpaid, nil
	case errors.Is(err, channel.ErrUnknownNumber):
		return resultUnknownNumber, nil
	case errors.Is(err, channel.ErrRefused):
		return resultRefused, err
	case errors.Is(err, channel.ErrMalformed), errors.Is(err, channel.ErrNotOurs):
		return resultUnreadable, err // of this order: the others are not to wait for it
	case err != nil:
		return resultUnanswered, err
	case said.Channel != d.order.Channel || said.OutTradeNo != d.order.OutTradeNo:
		return resultFailed, fmt.Errorf("%w: of %s order %q", errOther, said.Channel, said.OutTradeNo)
	case said.Event == channel.EventClosed:
		return resultClosed, nil
	case said.Event != channel.EventPaid:
		return resultFailed, fmt.Errorf("%w: it is %q", errOther, said.Event)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if became, err = q.config.Payments.Accept(ctx, said); err != nil {
		return resultFailed, err
	}
	return became, nil
}

var (
	errPanicked = errors.New("the inquiry panicked")
	errOther    = errors.New("the answer is another one's")
)

func (q *Inquirer) call(ctx context.Context, port channel.PaymentQuerier, d *due) (channel.Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return port.QueryPayment(ctx, channel.PaymentOrder{OutTradeNo: d.order.OutTradeNo, OpenedAt: d.order.CreatedAt})
}

// tell logs what a person should know of: a payment that no notice has told, and a channel that tells nothing.
func (q *Inquirer) tell(ctx context.Context, d *due, became result, problem error) {
	level, message := slog.LevelWarn, "inquiry was not answered, will ask again"
	switch became {
	case notice.ResultConfirmed, notice.ResultSuspended:
		message = "payment was learnt by asking, before any notice of it came"
	case resultRefused:
		message = "channel refuses to tell whether an order is paid"
		if _, again := d.order.NextInquiry(q.config.Clock.Now()); !again {
			level, message = slog.LevelError, message+", and is asked no more"
		}
	case resultUnanswered:
	case resultUnreadable:
		level, message = slog.LevelError, "an answer about an order could not be read, will ask again"
	case resultFailed:
		level, message = slog.LevelError, "an answer about an order could not be accepted, will ask again"
	default:
		return
	}
	attrs := []slog.Attr{slog.String("channel", string(d.order.Channel)), slog.String("recharge_id", d.order.RechargeID),
		slog.String("out_trade_no", d.order.OutTradeNo), slog.String("result", string(became))}
	if problem != nil {
		attrs = append(attrs, slog.String("error", problem.Error()))
	}
	q.config.Logger.LogAttrs(ctx, level, message, attrs...)
}
