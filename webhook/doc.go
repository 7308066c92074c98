// Package webhook tells producers what became of their requests: outcome webhooks, signed as the Standard Webhooks specification says
// (standardwebhooks.com).
//
//	outcomes ──gather──► messages, numbered per endpoint ──deliver──► the producer's URL
//	                     waiting ─┬─► delivered                          │ 2xx
//	                        ▲     └─► dead, after the last try           │ anything else: later
//	                        └──────── redeliver ◄── a person
//
// An endpoint is a URL of one producer with the events that it wants. A message is one outcome on its way to one endpoint; an attempt
// is one POST of it.
//
// # What is told
//
// The event is the kind's noun and the result: refund.applied, refund.rejected, payment.applied, recharge.applied and so on. A refund's
// leg that a channel pays is told to the refund's producer as refund.channel_succeeded or refund.channel_failed. A recharge that a
// channel's notice confirmed is told to the producer who opened the recharge order.
//
// # Invariants
//
//   - H1 Every outcome decided after an endpoint was made, of its producer and events, becomes one message of it: the message and the
//     book's cursor are written in one transaction, and a book's outcomes are decided at growing times.
//   - H2 An endpoint's messages are numbered 1, 2, 3 … without a gap: a producer sees what it missed, and asks for it again from N.
//   - H3 A message is delivered at least once, or dead after the last try (ten, over three days). Its id is the same at each attempt.
//   - H4 Messages may come out of order, and twice: the sequence and the id tell.
//   - H5 No address that is not public is called, unless that was allowed: checked when the endpoint is made, and again on the address
//     that is dialled. Redirects are not followed.
//   - H6 Nothing here can keep money from moving: it only reads the books.
//
// # Failures
//
// An endpoint that answers 410 is disabled; its messages wait. One that answers 429 or 503 with Retry-After is left alone for that long.
// A process that ends in the middle of an attempt leaves its message to others after a lease. Several processes may gather and deliver
// at once: a book's cursor has one gatherer at a time, and a message one deliverer.
package webhook
