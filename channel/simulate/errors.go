package simulate

import "errors"

// The refusals of a desk.
var (
	ErrUnknownPayment = errors.New("no such payment")
	ErrTooMuch        = errors.New("refunds would exceed the payment")
	ErrNumberTaken    = errors.New("refund number was used for another refund")
)

// ErrPaid is returned by Pay for an order that was paid with another amount.
var ErrPaid = errors.New("order is paid, with another amount")

// ErrNoNotice is wrapped by a Dialect's Notice when the channel sends none of what happened.
var ErrNoNotice = errors.New("channel sends no such notice")
