package simulate

import "errors"

// The refusals of a desk.
var (
	ErrUnknownPayment = errors.New("no such payment")
	ErrTooMuch        = errors.New("refunds would exceed the payment")
	ErrNumberTaken    = errors.New("refund number was used for another refund")
)
