package notice

import (
	"context"
	"errors"
	"log/slog"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

// Result is what became of a notice, as it is counted.
type Result string

// The results that tell the channel that it is done. Those of a payment are also what Payments.Accept says.
const (
	ResultConfirmed    Result = "confirmed"    // a payment, accepted as a recharge
	ResultSuspended    Result = "suspended"    // a payment, accepted as one that no recharge order explains
	resultAnswered     Result = "answered"     // the end of a refund, accepted
	resultRevised      Result = "revised"      // the end of a refund that had failed and is paid, accepted
	ResultReplayed     Result = "replayed"     // accepted before, with the same content
	ResultContradicted Result = "contradicted" // accepted before, with other content
	resultAcknowledged Result = "acknowledged" // moves no money of ours
)

// The results that make the channel come again.
const (
	resultNotGenuine    Result = "not_genuine"
	resultOtherRule     Result = "other_rule" // not genuine, unless the channel signs otherwise than it documents
	resultProbe         Result = "probe"
	resultStale         Result = "stale"
	resultMalformed     Result = "malformed"
	resultNotOurs       Result = "not_ours"
	resultUnknownRefund Result = "unknown_refund" // no refund was sent under its number
	resultOtherRefund   Result = "other_refund"   // its number is that of a refund of another amount, payment or channel
	resultUnavailable   Result = "unavailable"    // PostgreSQL did not answer in time, or too many notices come at once
	resultFailed        Result = "failed"         // a bug
	resultNoChannel     Result = "no_channel"     // the channel is not configured
)

// results lists every result.
func results() []Result {
	return []Result{ResultConfirmed, ResultSuspended, resultAnswered, resultRevised, ResultReplayed, ResultContradicted, resultAcknowledged,
		resultNotGenuine, resultOtherRule, resultProbe, resultStale, resultMalformed, resultNotOurs, resultUnknownRefund,
		resultOtherRefund, resultUnavailable, resultFailed, resultNoChannel}
}

// resultOf classifies the error of a notice that was not taken.
func resultOf(err error) Result {
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
func (r Result) level() slog.Level {
	switch r {
	case resultNotGenuine, resultProbe, resultStale:
		return slog.LevelDebug
	case resultOtherRefund, resultFailed:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}
