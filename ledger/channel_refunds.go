package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// ChannelRefundState says how far a refund through a channel is.
type ChannelRefundState string

// The states of a refund through a channel. Its end is told once it is booked.
const (
	ChannelRefundProcessing ChannelRefundState = "processing"
	ChannelRefundSucceeded  ChannelRefundState = "succeeded"
	ChannelRefundFailed     ChannelRefundState = "failed"
	ChannelRefundDead       ChannelRefundState = "dead" // it cannot go on by itself: a person looks at it
)

// ChannelRefund is what one leg of a refund gives back through the channel that paid, under one number. What failed and was sent again is
// another one, of the same refund and leg.
type ChannelRefund struct {
	RefundID string
	Leg      int
	Channel  tasks.Source
	Amount   money.Amount
	Number   string // under which the channel is asked
	State    ChannelRefundState
	Credited bool       // of one that failed, or had failed before it succeeded: the user's cash was credited; if not, a person decides
	Reason   string     // of one that failed, in the channel's words
	EndedAt  *time.Time // when the end was booked, the last one if it was revised; nil before
	// SentAgain is the number under which a person has had the same money asked for again, after this one had failed; empty otherwise.
	SentAgain string
}

// channelRefundsSQL finds the requests of a number by their keys: what the channel is asked, what it answered, and what it revised. A number
// is followed by the one under which the same was sent again: see readRefundTriesSQL.
const channelRefundsSQL = `
WITH RECURSIVE tries (number, again) AS (
    SELECT asked.number, n.number
    FROM unnest($1::text[]) AS asked (number)
    LEFT JOIN LATERAL (
        SELECT return_number(c.book, c.request_id, c.ordinal) AS number
        FROM requests a
        JOIN cases c ON c.book = a.book AND c.request_id = a.id AND c.kind = 'failed_refund'
        WHERE a.kind = 'refund:answer' AND a.key = asked.number
    ) n ON true
    UNION
    SELECT t.again, n.number
    FROM tries t
    LEFT JOIN LATERAL (
        SELECT return_number(c.book, c.request_id, c.ordinal) AS number
        FROM requests a
        JOIN cases c ON c.book = a.book AND c.request_id = a.id AND c.kind = 'failed_refund'
        WHERE a.kind = 'refund:answer' AND a.key = t.again
    ) n ON true
    WHERE t.again IS NOT NULL
)
SELECT s.payload, a.payload, coalesce(o.result, '') = 'applied',
       'dead' IN (sp.state, ap.state) IS TRUE OR coalesce(o.result, '') = 'rejected', coalesce(o.transfers, 0),
       vo.result IS NOT DISTINCT FROM 'applied', coalesce(CASE WHEN vo.result = 'applied' THEN vo.decided_at END, o.decided_at),
       coalesce(again.key, '')
FROM tries t
JOIN requests s ON s.kind = 'refund:send' AND s.key = t.number
LEFT JOIN requests again ON again.kind = 'refund:send' AND again.key = t.again
LEFT JOIN pending sp ON sp.book = s.book AND sp.request_id = s.id
LEFT JOIN requests a ON a.kind = 'refund:answer' AND a.key = s.key
LEFT JOIN pending ap ON ap.book = a.book AND ap.request_id = a.id
LEFT JOIN outcomes o ON o.book = a.book AND o.request_id = a.id
LEFT JOIN requests v ON v.kind = 'refund:revise' AND v.key = s.key
LEFT JOIN outcomes vo ON vo.book = v.book AND vo.request_id = v.id
ORDER BY s.id`

// ChannelRefunds looks refunds through channels up by their numbers, in one query, each number before that under which it was sent again. A
// number that no channel was to be asked under is absent.
func (r *Reader) ChannelRefunds(ctx context.Context, numbers []string) ([]ChannelRefund, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	found, err := queryRows(ctx, r.pool, scanChannelRefund, channelRefundsSQL, numbers)
	if err != nil {
		return nil, fmt.Errorf("look up %d refunds through channels: %w", len(numbers), err)
	}
	return found, nil
}

func scanChannelRefund(row pgx.CollectableRow) (ChannelRefund, error) {
	var sent, answered []byte
	var booked, dead, revised bool
	var transfers int
	refund := ChannelRefund{State: ChannelRefundProcessing}
	if err := row.Scan(&sent, &answered, &booked, &dead, &transfers, &revised, &refund.EndedAt, &refund.SentAgain); err != nil {
		return refund, err
	}
	decoded, err := tasks.DecodePayload(tasks.RefundSend, sent)
	if err != nil {
		return refund, err
	}
	if order, ok := decoded.(*tasks.RefundOrder); ok {
		refund.RefundID, refund.Leg, refund.Channel, refund.Amount, refund.Number =
			order.RefundID, order.Leg, order.Channel, order.Amount, order.Number
	}
	switch {
	case booked:
		err = refund.end(answered, transfers > 0)
	case dead:
		refund.State = ChannelRefundDead
	}
	if revised {
		refund.State, refund.Reason = ChannelRefundSucceeded, ""
	}
	return refund, err
}

// end tells a booked end. moved says whether the booking moved money: of a failed refund, to the user's cash.
func (c *ChannelRefund) end(answered []byte, moved bool) error {
	decoded, err := tasks.DecodePayload(tasks.RefundAnswer, answered)
	if err != nil {
		return err
	}
	c.State = ChannelRefundFailed
	answer, ok := decoded.(*tasks.RefundResult)
	if ok && answer.Result == tasks.RefundSucceeded {
		c.State = ChannelRefundSucceeded
		return nil
	}
	c.Credited = moved
	if ok {
		c.Reason = answer.Reason
	}
	return nil
}
