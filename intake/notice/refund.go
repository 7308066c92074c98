package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

var (
	// errUnknownRefund: nothing was sent under the number. A refund that was made by hand at the channel has such a number.
	errUnknownRefund = errors.New("no refund was sent under this number")
	// errOtherRefund: the number is right, and the notice tells of another refund. The worker's query decides.
	errOtherRefund = errors.New("the refund that was sent is another one")
)

// acceptRefund accepts the end of a refund. The worker hears of it too when it queries the channel: the same end is the same request,
// byte for byte.
func (h *Handler) acceptRefund(ctx context.Context, notice channel.Notice) (Result, error) {
	order, err := h.findRefund(ctx, notice.RefundNumber)
	if err != nil {
		return "", err
	}
	if !tells(notice, order) {
		return "", fmt.Errorf("%w: %s of %s payment %q under %s, the notice says %s (%s in all) of %s payment %q", errOtherRefund, order.Amount,
			order.Channel, order.ChannelTxnID, order.Number, notice.Amount, notice.RefundedTotal, notice.Channel, notice.ChannelTxnID)
	}
	answer, final := channel.Result(*order, notice.Refund)
	if !final {
		return resultAcknowledged, nil
	}
	receipt, err := channel.Accept(ctx, h.config.Client, answer)
	var conflict *tasks.ConflictError
	switch {
	case errors.As(err, &conflict):
		return contradicted(ctx, h.config.Logger, notice, conflict), nil
	case err != nil:
		return "", fmt.Errorf("accept the end of refund %s: %w", order.Number, err)
	case receipt.Status == tasks.Replayed:
		return ResultReplayed, nil
	case receipt.Kind == tasks.RefundRevise:
		return h.revised(ctx, notice), nil
	default:
		return resultAnswered, nil
	}
}

// revised tells that a channel has paid what it had said it could not (N5).
func (h *Handler) revised(ctx context.Context, notice channel.Notice) Result {
	h.config.Logger.LogAttrs(ctx, slog.LevelWarn, "channel has paid a refund that it had failed",
		slog.String("channel", string(notice.Channel)), slog.String("channel_txn_id", notice.ChannelTxnID),
		slog.String("refund_number", notice.RefundNumber))
	return resultRevised
}

// tells says whether a notice under the refund's number tells of this refund. Some channels tell what was refunded of the payment in all,
// and not the refund's amount; the payment's number is not known on both sides always.
func tells(notice channel.Notice, order *tasks.RefundOrder) bool {
	amount := order.Amount == notice.Amount
	if notice.Amount.IsZero() {
		amount = order.Amount.Cmp(notice.RefundedTotal) <= 0
	}
	payment := order.ChannelTxnID == notice.ChannelTxnID || order.ChannelTxnID == "" || notice.ChannelTxnID == ""
	return order.Channel == notice.Channel && amount && payment
}

const findRefundSQL = `SELECT payload FROM requests WHERE kind = 'refund:send' AND key = $1`

// findRefund finds what was sent to a channel under a number. It returns errUnknownRefund, wrapped.
func (h *Handler) findRefund(ctx context.Context, number string) (*tasks.RefundOrder, error) {
	var stored []byte
	err := h.config.Pool.QueryRow(ctx, findRefundSQL, number).Scan(&stored)
	switch {
	case errors.Is(err, pgx.ErrNoRows), postgres.IsContent(err): // no stored key has bytes that PostgreSQL refuses
		return nil, fmt.Errorf("refund %q: %w", number, errUnknownRefund)
	case err != nil:
		return nil, fmt.Errorf("find refund %q: %w", number, err)
	}
	payload, err := tasks.DecodePayload(tasks.RefundSend, stored)
	if err != nil {
		return nil, err
	}
	order, ok := payload.(*tasks.RefundOrder)
	if !ok {
		return nil, fmt.Errorf("refund %q is a %T", number, payload)
	}
	return order, nil
}
