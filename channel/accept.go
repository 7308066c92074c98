package channel

import (
	"context"
	"errors"
	"strconv"

	"github.com/settled-dev/settled/tasks"
)

// Acceptor accepts requests, as *tasks.Client does.
type Acceptor interface {
	// Enqueue returns after the commit that made the request durable. Its error may be a *tasks.ConflictError.
	Enqueue(ctx context.Context, payload tasks.Payload) (tasks.Receipt, error)
}

// Accept accepts a channel's final answer to a refund: as its refund:answer, or, if that is stored and says that the refund failed, and
// the channel now says that it has paid, as its refund:revise. The receipt is that of the one or the other. Both have the refund's number
// as their key, so a call that was cut short between them is repeated whole. Any other difference from what is stored is a
// *tasks.ConflictError; other errors are the acceptor's.
func Accept(ctx context.Context, acceptor Acceptor, result *tasks.RefundResult) (tasks.Receipt, error) {
	receipt, err := acceptor.Enqueue(ctx, result)
	var conflict *tasks.ConflictError
	if errors.As(err, &conflict) && revises(conflict) {
		revision := tasks.RefundRevision(*result)
		return acceptor.Enqueue(ctx, &revision)
	}
	return receipt, err
}

// revises says whether a refund:answer conflicts with the stored one as a success with a failure, and in what comes with that: a failure
// has a reason, and seldom a time.
func revises(conflict *tasks.ConflictError) bool {
	revised := false
	for _, diff := range conflict.Receipt.Fields {
		switch diff.Field {
		case "result":
			revised = diff.Stored == strconv.Quote(string(tasks.RefundFailed)) && diff.Asked == strconv.Quote(string(tasks.RefundSucceeded))
		case "reason", "occurred_at":
		default:
			return false
		}
	}
	return revised
}
