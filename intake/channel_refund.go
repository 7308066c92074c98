package intake

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// ChannelRefund is what one leg of a refund gives back through the channel that paid, under one number.
type ChannelRefund struct {
	Leg      int                       `json:"leg" doc:"Its number in the order, from 0."`
	Channel  tasks.Source              `json:"channel"`
	Amount   money.Amount              `json:"amount"`
	Number   string                    `json:"number" doc:"The refund number that the channel is asked under."`
	State    ledger.ChannelRefundState `json:"state" enum:"processing,succeeded,failed,dead" doc:"An end is told once it is booked. dead: it cannot go on by itself, a person looks at it."`
	Credited *bool                     `json:"credited,omitempty" doc:"Of one that failed: whether the user's cash was credited instead. If not, a person decides. True of one that succeeded afterwards: it was paid twice."`
	Reason   string                    `json:"reason,omitempty" doc:"Of one that failed: why, in the channel's words."`
	EndedAt  *time.Time                `json:"ended_at,omitempty" doc:"When the end was booked."`
	// SentAgain has another entry of the leg behind it.
	SentAgain string `json:"sent_again,omitempty" doc:"Of one that failed: the number under which the same money was asked for again. It has an entry of its own, which tells how that goes."`
}

// channelRefunds looks refunds through channels up by their numbers. They are answered by refund, each in the order of its legs.
func (a *API) channelRefunds(ctx context.Context, numbers []string) (map[string][]ChannelRefund, error) {
	found, err := a.config.Reader.ChannelRefunds(ctx, numbers)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(x, y ledger.ChannelRefund) int { return cmp.Compare(x.Leg, y.Leg) })
	byRefund := map[string][]ChannelRefund{}
	for i := range found {
		f := &found[i]
		told := ChannelRefund{Leg: f.Leg, Channel: f.Channel, Amount: f.Amount, Number: f.Number, State: f.State, Reason: f.Reason,
			EndedAt: f.EndedAt, SentAgain: f.SentAgain}
		if f.State == ledger.ChannelRefundFailed || f.Credited {
			told.Credited = &f.Credited
		}
		byRefund[f.RefundID] = append(byRefund[f.RefundID], told)
	}
	return byRefund, nil
}

// numbersOfPage lists the numbers under which an order's refunds may have been asked of channels.
func numbersOfPage(order *ledger.Order, refunds []ledger.OrderRefund) []string {
	var numbers []string
	for i := range refunds {
		r := &refunds[i]
		if r.State != string(tasks.Applied) || r.Refund.To == tasks.ToBalance {
			continue
		}
		for leg := range order.Legs {
			if source := order.Legs[leg].Source; source != tasks.SourceCash && source != tasks.SourceReward {
				numbers = append(numbers, refund.Number(r.Refund.RefundID, leg))
			}
		}
	}
	return numbers
}

// numbersOfRefund lists the numbers of all legs that its order may have.
func numbersOfRefund(refundID string) []string {
	numbers := make([]string, tasks.LegsMax)
	for leg := range numbers {
		numbers[leg] = refund.Number(refundID, leg)
	}
	return numbers
}
