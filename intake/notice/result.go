package notice

import (
	"context"
	"errors"
	"log/slog"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

// result is what became of a notice, as it is counted.
type result string

// The results that tell the channel that it is done.
const (
	resultConfirmed    result = "confirmed"    // a payment, accepted as a recharge
	resultSuspended    result = "suspended"    // a payment, accepted as one that no recharge order explains
	resultAnswered     result = "answered"     // the end of a refund, accepted
	resultRevised      result = "revised"      // the end of a refund that had failed and is paid, accepted
	resultReplayed     result = "replayed"     // accepted before, with the same content
	resultContradicted result = "contradicted" // accepted before, with other content
	resultAcknowledged result = "acknowledged" // moves no money of ours
)

// The results that make the channel come again.
const (
	resultNotGenuine    result = "not_genuine"
	resultOtherRule     result = "other_rule" // not genuine, unless the channel signs otherwise than it documents
	resultProbe         result = "probe"
	resultStale         result = "stale"
	resultMalformed     result = "malformed"
	resultNotOurs       result = "not_ours"
	resultUnknownRefund result = "unknown_refund" // no refund was sent under its number
	resultOtherRefund   result = "other_refund"   // its number is that of a refund of another amount, payment or channel
	resultUnavailable   result = "unavailable"    // PostgreSQL did not answer in time, or too many notices come at once
	resultFailed        result = "failed"         // a bug
	resultNoChannel     result = "no_channel"     // the channel is not configured
)

// results lists every result.
func results() []result {
	return []result{resultConfirmed, resultSuspended, resultAnswered, resultRevised, resultReplayed, resultContradicted, resultAcknowledged,
		resultNotGenuine, resultOtherRule, resultProbe, resultStale, resultMalformed, resultNotOurs, resultUnknownRefund,
		resultOtherRefund, resultUnavailable, resultFailed, resultNoChannel}
}

// resultOf classifies the error of a notice that was not taken.
func resultOf(err error) result {
	var bad *tasks.FieldError
	switch {
	case errors.Is(err, channel.ErrProbe):
		return resultProbe
	case errors.Is(err, channel.ErrOtherRule):
		return resultOtherRule
	case errors.Is(err, channel.ErrNotGenuine):
		return resultNotGenuine
	case errors.Is(err, channel.ErrStale):
		return resultStale
	case errors.Is(err, channel.ErrNotOurs):
		return resultNotOurs
	case errors.Is(err, channel.ErrMalformed), errors.As(err, &bad):
		return resultMalformed
	case errors.Is(err, errUnknownRefund):
		return resultUnknownRefund
	case errors.Is(err, errOtherRefund):
		return resultOtherRefund
	case postgres.IsConnection(err), postgres.IsRetryable(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, tasks.ErrClientClosed):
		return resultUnavailable
	default:
		return resultFailed
	}
}

// level says how loudly it is told that a notice was not taken. What anybody can send is counted, and told to who wants to know.
func (r result) level() slog.Level {
	switch r {
	case resultNotGenuine, resultProbe, resultStale:
		return slog.LevelDebug
	case resultOtherRefund, resultFailed:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}
