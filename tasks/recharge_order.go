package tasks

import (
	"encoding/json"
	"time"

	"github.com/settled-dev/settled/money"
)

// RechargeOrder is what a producer says of a payment that a user is about to make into the balance. It is no request: it moves nothing.
// What pays it is a Recharge under the same recharge id.
type RechargeOrder struct {
	RechargeID string       `json:"recharge_id"`
	UserID     string       `json:"user_id"`
	Channel    Source       `json:"channel"`
	Amount     money.Amount `json:"amount"`
	ExpiresAt  time.Time    `json:"expires_at,omitzero"` // zero: whoever opens it decides
}

// ParseRechargeOrder reads an order's JSON object, as strictly as ParsePayload reads a request's. It returns a *FieldError.
func ParseRechargeOrder(raw []byte) (RechargeOrder, error) {
	var order RechargeOrder
	if err := ReadObject(raw, &order); err != nil {
		return RechargeOrder{}, err
	}
	// The zero time stands for none that was given.
	var given struct {
		ExpiresAt *json.RawMessage `json:"expires_at"`
	}
	if err := json.Unmarshal(raw, &given); err == nil && given.ExpiresAt != nil && order.ExpiresAt.IsZero() {
		return RechargeOrder{}, &FieldError{Field: "expires_at", Problem: "is of the year 1", Allowed: eventTimeAllowed + ", or no such field"}
	}
	return order, order.Validate()
}

// Validate refuses an order whose fields are not allowed, with a *FieldError, and puts it into canonical form.
func (o *RechargeOrder) Validate() error {
	var check fieldCheck
	check.id("recharge_id", o.RechargeID)
	check.id("user_id", o.UserID)
	oneOf(&check, "channel", o.Channel, Channels()...)
	check.positive("amount", o.Amount)
	check.inRange("amount", o.Amount)
	if !o.ExpiresAt.IsZero() {
		o.ExpiresAt = canonicalTime(o.ExpiresAt)
		check.eventTime("expires_at", o.ExpiresAt)
	}
	if check.err != nil {
		return check.err
	}
	return nil
}
