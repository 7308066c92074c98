package intake

import (
	"context"

	"github.com/settled-dev/settled/tasks"
)

// claimRecharges takes the ids of the recharges among the payloads for their producer, and says what is wrong with each payload, in their
// order; nil when nothing is. A recharge that has an order is confirmed by its channel's notice: no producer may say in the channel's stead
// who has paid what. One that has none gets none afterwards.
func (a *API) claimRecharges(ctx context.Context, payloads []tasks.Payload) ([]*tasks.FieldError, error) {
	var ids []string
	for _, payload := range payloads {
		if p, ok := payload.(*tasks.Recharge); ok && tasks.Validate(p) == nil { // nothing is stored of one that is refused
			ids = append(ids, p.RechargeID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ordered, err := a.config.Recharges.Claim(ctx, ids)
	if err != nil || len(ordered) == 0 {
		return nil, err
	}
	refusals := make([]*tasks.FieldError, len(payloads))
	for i, payload := range payloads {
		if p, ok := payload.(*tasks.Recharge); ok && ordered[p.RechargeID] {
			refusals[i] = &tasks.FieldError{Field: "recharge_id", Problem: "is of a recharge order, which the channel's notice confirms",
				Allowed: "the id of a recharge that has no order here"}
		}
	}
	return refusals, nil
}

// claimRecharge does so for one payload, whose *tasks.FieldError it returns.
func (a *API) claimRecharge(ctx context.Context, payload tasks.Payload) error {
	refusals, err := a.claimRecharges(ctx, []tasks.Payload{payload})
	if err == nil && refusals != nil && refusals[0] != nil {
		return refusals[0]
	}
	return err
}
