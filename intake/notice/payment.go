package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/tasks"
)

// looksMax is how often a payment is matched. A conflict tells that a request was accepted since the last look, and there are two that
// can be: the order's and the payment's.
const looksMax = 3

var errRestless = errors.New("what is stored of the payment changes at each look")

// Payments accepts payments that a channel tells of, in a notice or because it was asked: the same payment is the same request, whichever
// way it is heard of first. It may be used by many goroutines and processes at once.
type Payments struct {
	// Recharges finds the recharge orders. Required.
	Recharges *recharge.Orders
	// Client accepts requests. What no producer's order explains is accepted as its own producer's. Required.
	Client *tasks.Client
	// Logger is told of what a person must look at. Required.
	Logger *slog.Logger
}

// Accept accepts a payment as a recharge, or as one that no recharge order explains, and says which: ResultConfirmed, ResultSuspended,
// ResultReplayed or ResultContradicted. All of them are final. It may be called again after any error, which means that the payment may
// have been accepted or not. A *tasks.FieldError, wrapped, says that no request can hold what the channel said.
func (p *Payments) Accept(ctx context.Context, notice channel.Notice) (Result, error) {
	for range looksMax {
		trace, err := p.Recharges.Trace(ctx, notice.Channel, notice.ChannelTxnID, notice.OutTradeNo)
		if err != nil {
			return "", err
		}
		client := p.Client.FromChannel()
		if trace.Order != nil {
			// The order's producer may look up what became of it, and is told.
			if client, err = client.As(trace.Order.Producer); err != nil {
				return "", fmt.Errorf("ask for the producer of recharge order %s: %v", trace.Order.RechargeID, err) // no field of the notice's
			}
		}
		payload, known := match(notice, trace)
		receipt, err := client.Enqueue(ctx, payload)
		var conflict *tasks.ConflictError
		switch {
		case errors.As(err, &conflict) && known:
			return contradicted(ctx, p.Logger, notice, conflict), nil
		case errors.As(err, &conflict):
			continue // accepted since the look
		case err != nil:
			return "", fmt.Errorf("accept %s payment %s: %w", notice.Channel, notice.ChannelTxnID, err)
		case receipt.Status == tasks.Replayed:
			return ResultReplayed, nil
		}
		return p.accepted(ctx, notice, payload), nil
	}
	return "", fmt.Errorf("accept %s payment %s: %w", notice.Channel, notice.ChannelTxnID, errRestless)
}

func (p *Payments) accepted(ctx context.Context, notice channel.Notice, payload tasks.Payload) Result {
	suspension, suspended := payload.(*tasks.Suspension)
	switch {
	case !suspended:
		return ResultConfirmed
	case suspension.Cause == tasks.UsedPayment:
		return contradicted(ctx, p.Logger, notice, errors.New("the payment has funded something else"))
	default:
		return ResultSuspended
	}
}

// match says what a payment is to be accepted as. known says that it was accepted as that before, whatever has become of its order
// since: then the content can only be the same, or contradict it. It is pure.
func match(notice channel.Notice, trace recharge.Trace) (payload tasks.Payload, known bool) {
	known = trace.ConfirmedBy(notice.Channel, notice.ChannelTxnID)
	if trace.Suspended != nil && !known {
		again := *trace.Suspended
		again.OutTradeNo, again.Amount, again.OccurredAt = notice.OutTradeNo, notice.Amount, notice.OccurredAt
		return &again, true
	}
	cause := suspensionCause(notice, trace)
	if known || cause == "" {
		// Whose recharge it is says the order, never the notice.
		return &tasks.Recharge{RechargeID: trace.Order.RechargeID, UserID: trace.Order.UserID, Channel: notice.Channel,
			ChannelTxnID: notice.ChannelTxnID, Amount: notice.Amount, OccurredAt: notice.OccurredAt}, known
	}
	suspension := &tasks.Suspension{Channel: notice.Channel, ChannelTxnID: notice.ChannelTxnID, OutTradeNo: notice.OutTradeNo,
		Amount: notice.Amount, Cause: cause, OccurredAt: notice.OccurredAt}
	if trace.Order != nil {
		suspension.UserID, suspension.RechargeID = trace.Order.UserID, trace.Order.RechargeID
	}
	return suspension, false
}

// suspensionCause says why a payment is no recharge; empty when it is one. What never changes is looked at before what does, so that
// copies of a notice agree whenever they come; a refund by hand before both, and a copy of what is suspended keeps its cause.
func suspensionCause(notice channel.Notice, trace recharge.Trace) tasks.SuspensionCause {
	switch order := trace.Order; {
	case trace.Used:
		return tasks.UsedPayment
	case order == nil:
		return tasks.UnknownOrder
	case notice.Refunded:
		return tasks.RefundedPayment // by hand: credited, or sent back by itself for what follows, the payer would have it twice (N6)
	case order.Channel != notice.Channel:
		return tasks.WrongChannel
	case order.Amount != notice.Amount:
		return tasks.WrongAmount
	case trace.Confirmed != nil:
		return tasks.SecondPayment
	case !order.InTime(notice.OccurredAt), notice.TimeUnknown && order.State != recharge.StateOpen:
		return tasks.ClosedOrder // where it is not told when it was paid, it may have been paid just now (N4)
	default:
		return ""
	}
}
