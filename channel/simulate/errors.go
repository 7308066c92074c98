package simulate

import "errors"

// The refusals of a desk.
var (
	ErrUnknownPayment = errors.New("no such payment")
	ErrTooMuch        = errors.New("refunds would exceed the payment")
	ErrNumberTaken    = errors.New("refund number was used for another refund")
)

// ErrPaid is returned by Pay for an order that was paid with another amount, and by CloseOrder for one that was paid.
var ErrPaid = errors.New("order is paid")

// ErrOrdered is returned by Order for an order that was opened with another content, or paid.
var ErrOrdered = errors.New("order was opened before")

// ErrNotOrdered is returned by CloseOrder for an order that was never opened.
var ErrNotOrdered = errors.New("no such order")

// ErrClosed is returned by Pay for an order that is closed.
var ErrClosed = errors.New("order is closed")

// ErrNotFailed is returned by Revise for a refund that has not failed.
var ErrNotFailed = errors.New("refund has not failed")

// ErrHanging is what a handler panics with to answer nothing until the merchant gives up.
var ErrHanging = errors.New("the answer is kept back")

// ErrNoNotice is wrapped by a Dialect's Notice when the channel sends none of what happened.
var ErrNoNotice = errors.New("channel sends no such notice")
