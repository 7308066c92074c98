package channel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// RefundState is how far a channel is with a refund.
type RefundState string

// The states. Succeeded and failed are final.
const (
	RefundSucceeded  RefundState = "succeeded"
	RefundFailed     RefundState = "failed"
	RefundProcessing RefundState = "processing"
)

// RefundAnswer is what a channel says of a refund.
type RefundAnswer struct {
	State  RefundState
	Reason string // of a failure, in the channel's words
	// EndedAt is the channel's own time of a final state, the same in each of its answers. Zero when the channel does not tell.
	EndedAt time.Time
}

// Refunder asks one channel about refunds. Its methods may be called at the same time, and again after any error.
type Refunder interface {
	// Refund asks the channel to pay a refund. An error means that it is not known whether the channel took the order.
	Refund(ctx context.Context, order tasks.RefundOrder) (RefundAnswer, error)
	// Query asks what became of a refund; order is the same as Refund's, because channels want more than the number to find it. It
	// returns ErrUnknownNumber when the channel says that it has never seen the number; any other error means that nothing is known.
	Query(ctx context.Context, order tasks.RefundOrder) (RefundAnswer, error)
}

// ErrUnknownNumber is returned by Query when the channel has never seen a refund number: the refund may be asked for under it. QueryPayment
// returns it when the channel has never seen an order's number: no payer has come as far as to pay it.
var ErrUnknownNumber = errors.New("channel has never seen this number")

// ErrRefused is wrapped by Refund, Query and QueryPayment when a verified answer refuses what was asked for this refund or order, beside the
// port's own error with the channel's code and words. The channel works, and what became of the refund is not known (C5). It is not wrapped
// for what says nothing of the refund: no answer, a status of 5xx, an answer that does not verify or cannot be read, and codes by which a
// channel says that it is busy or does not know the caller's signature. Beside a *tasks.FieldError it means that the channel cannot be asked
// for this refund at all.
var ErrRefused = errors.New("channel refuses")

// ErrMerchantRefused is wrapped in the place of ErrRefused, which it is too, when the refusal is of the merchant and of no refund: it has no
// money at the channel, no right, or its account is closed. Every refund is refused until a person mends it, and each of them can be paid
// afterwards under its own number.
var ErrMerchantRefused = fmt.Errorf("%w the merchant", ErrRefused)

// Pursue brings a refund forward by asking its channel (C2). asked says that the channel may have been asked before, by this worker
// or another: then it is queried first. It may be called any number of times and at the same time. An error means unknown: call it
// again later.
func Pursue(ctx context.Context, refunder Refunder, order tasks.RefundOrder, asked bool) (RefundAnswer, error) {
	if asked {
		answer, err := refunder.Query(ctx, order)
		if !errors.Is(err, ErrUnknownNumber) {
			return answer, err
		}
	}
	return refunder.Refund(ctx, order)
}
