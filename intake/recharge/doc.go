// Package recharge keeps recharge orders: what users are about to pay into their balance through a channel. A producer opens an order
// and hands its number to the channel; the channel's notice of the payment carries the number back.
//
// # States
//
//	                ┌─► paid      its recharge:confirm was accepted ──► rejected  and turned out to have funded something else
//	open ───────────┼─► closed    the producer has closed it
//	                └─► expired   its time has passed
//
// Only closing is stored. The other states are read from what is there: a payment is a request, and an order that has one is paid, even
// if it was closed at the same moment.
//
// # Invariants
//
//   - O1 An order never changes but for being closed, once. Opened again with the same content it is the same order, with its number.
//     Who is told that it is open or closed may rely on it: a synchronous standby has it, where there is one.
//   - O2 An order's number is its own, cannot be guessed, and is told only once the order is stored: nobody can pay an order that is not
//     there. It has letters and digits alone, at most 32, which every channel takes.
//   - O3 An order is in time for every payment that was made while it was open, by the channel's time of the payment, however late the
//     notice comes.
//   - O4 An order holds no money and moves none.
//   - O5 A recharge that has an order is confirmed by its channel alone, whoever else asks and however; and a recharge that was
//     confirmed without an order gets none. Of an order and a confirmation at the same moment one is refused: both take the recharge's
//     id first, in one table. tasks.Client takes it for producers.
//   - O6 With an order its inquiry is stored, in the same statement: its channel is asked about it unless a notice tells first
//     (intake/inquiry).
//
// # Failures
//
// Opening and closing may be repeated after any error. A *tasks.FieldError says what is wrong with an order, a *ConflictError that its
// id was used for another one. Closing an order that is paid returns ErrPaid, one whose payment was rejected ErrRejected. An
// order can be closed in the moment in which its payment is accepted: then it is paid.
package recharge
