package demo

import (
	"slices"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// order is a payment as the plan knows it. Amounts are in fen.
type order struct {
	id, userID, merchantID string
	legs                   []leg
	lines                  []line
}

type leg struct {
	source tasks.Source
	fen    int64
}

type line struct {
	id   string
	kind tasks.LineKind
	fen  int64
}

func (o *order) total() int64 {
	var total int64
	for _, leg := range o.legs {
		total += leg.fen
	}
	return total
}

// payment asks for the order's capture.
func (o *order) payment(at time.Time) *Ask {
	p := &tasks.Payment{OrderID: o.id, UserID: o.userID, MerchantID: o.merchantID, OccurredAt: at}
	ask := &Ask{Payload: p, Key: o.id, Fate: FateApplied}
	for _, leg := range o.legs {
		paid := tasks.Leg{Source: leg.source, Amount: money.FromFen(leg.fen)}
		if !leg.source.IsBalance() {
			paid.ChannelTxnID = string(leg.source) + "-" + o.id
		}
		p.Legs = append(p.Legs, paid)
		ask.move(holderOf(o.userID, leg.source), payableOf(o.merchantID), leg.fen)
	}
	for _, line := range o.lines {
		p.Lines = append(p.Lines, tasks.Line{LineID: line.id, Kind: line.kind, Amount: money.FromFen(line.fen)})
	}
	return ask
}

// refund asks for fen of the order back, to where they came from. The caller has seen to it that the split does not depend on what
// other refunds of the order do.
func (o *order) refund(id string, fen int64, at time.Time) *Ask {
	r := &tasks.Refund{RefundID: id, OrderID: o.id, UserID: o.userID, Amount: money.FromFen(fen), OccurredAt: at}
	ask := &Ask{Payload: r, Key: id, Fate: FateApplied}
	for i, part := range o.shares(fen) {
		ask.move(payableOf(o.merchantID), holderOf(o.userID, o.legs[i].source), part)
	}
	ask.note(refundedOf(o.id), fen)
	return ask
}

// refundToBalance asks for fen of the order back, and for the channels' parts as cash.
func (o *order) refundToBalance(id string, fen int64, at time.Time) *Ask {
	r := &tasks.Refund{RefundID: id, OrderID: o.id, UserID: o.userID, Amount: money.FromFen(fen), To: tasks.ToBalance, OccurredAt: at}
	ask := &Ask{Payload: r, Key: id, Fate: FateApplied}
	for i, part := range o.shares(fen) {
		to := tasks.SourceCash
		if o.legs[i].source == tasks.SourceReward {
			to = tasks.SourceReward
		}
		ask.move(payableOf(o.merchantID), holderOf(o.userID, to), part)
	}
	ask.note(refundedOf(o.id), fen)
	return ask
}

// refundLine asks for fen of one line back.
func (o *order) refundLine(id, lineID string, fen int64, at time.Time) *Ask {
	ask := o.refund(id, fen, at)
	refund := ask.Payload.(*tasks.Refund)
	refund.Lines = []tasks.LineRefund{{LineID: lineID, Amount: refund.Amount}}
	return ask
}

// shares splits fen in proportion to what the legs paid: rounded down, and what is left goes one fen each to the largest fractions,
// the earlier leg first.
func (o *order) shares(fen int64) []int64 {
	total, left := o.total(), fen
	parts, fractions := make([]int64, len(o.legs)), make([]int64, len(o.legs))
	byFraction := make([]int, len(o.legs))
	for i, leg := range o.legs {
		parts[i], fractions[i] = fen*leg.fen/total, fen*leg.fen%total
		left -= parts[i]
		byFraction[i] = i
	}
	slices.SortStableFunc(byFraction, func(a, b int) int { return int(fractions[b] - fractions[a]) })
	for _, i := range byFraction[:left] {
		parts[i]++
	}
	return parts
}
