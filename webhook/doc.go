// Package webhook tells producers what became of their requests: outcome webhooks, signed as the Standard Webhooks specification says
// (standardwebhooks.com). What a producer needs to know of it is in docs/webhooks.md.
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
// The event is the kind's noun and the result: refund.applied, refund.rejected, payment.applied, recharge.applied and so on, for every
// kind that producers may ask for: sweep.applied says that the night was asked of every book; its parts are told to nobody. A refund's
// leg that a channel pays is told to the refund's producer as refund.channel_succeeded or refund.channel_failed. A recharge that a
// channel's notice confirmed is told to the producer who opened the recharge order, and so is a payment under that order which is no
// recharge of it: recharge.suspended. Nobody is told of another producer's requests.
//
// # Invariants
//
//   - H1 An outcome of a wanted event of the endpoint's producer becomes one message of it exactly when it was decided after the endpoint
//     was made, or enabled after a person had disabled it. The messages and the book's cursor are written in one transaction.
//   - H2 An endpoint's messages are numbered 1, 2, 3 … without a gap, those of one book in the order in which they were decided: a
//     producer sees what it missed, and asks for it again from N.
//   - H3 A message is delivered at least once, or dead after the last try (ten, over three days). Its id is the same at each attempt.
//   - H4 Messages may arrive out of order, and twice: the sequence and the id tell.
//   - H5 No address that is not public is called, unless that was allowed: checked when the endpoint is made, and again on the address
//     that is dialled. Redirects are not followed, and no proxy is used.
//   - H6 Nothing here can keep money from moving: it only reads the books, waits for none of their locks, and has database connections of
//     its own.
//   - H7 An endpoint that is slow or away does not keep others waiting: each has a share of its own, and one that takes nothing is tried
//     with one message at a time.
//   - H8 What an endpoint answers is neither stored nor logged, but for its status. (net/http itself logs, quoted, what comes unasked on
//     an idle connection.)
//
// # Why a cursor misses nothing
//
// A batch locks its book's row, reads the clock, and holds the lock to its commit; its time is later than that of the book's batch before
// (ledger, lockBookSQL), whatever the clock does. So a book's outcomes become visible in the order of their times, those of one batch at
// once: whoever has seen an outcome has seen all earlier ones of its book, and may go on from its time. books.decided_at is written by
// the same transaction: when it can be read, every outcome up to it can. Times of different books are never compared.
//
// # Locks
//
// A gatherer takes one book's cursor, or leaves when another has it; then the endpoints that get messages, in the order of their ids. Who
// makes or enables an endpoint takes all cursors in the order of their books, then the endpoint: so it is known exactly which outcomes
// are later. Messages are claimed without waiting, and changed in the order of their sequence.
//
// # Failures
//
// An endpoint that answers 410 is gone: it is called no more, its outcomes become messages as before, and they wait until a person enables
// it or disables it for good. A person's disabling ends its outcomes too: what is no message by then becomes none. One that answers 429 or
// 503 with Retry-After is left alone for that long, a day at most. A process that ends in the middle of an attempt leaves its message to
// others after a lease; one that is asked to end gives back what it has not begun. Several processes may gather and deliver at once: a
// book's cursor has one gatherer at a time, and a message one deliverer. Leases and pauses go by PostgreSQL's clock: those of the processes
// may differ.
//
// PostgreSQL is authoritative for everything; a process remembers only which endpoints took nothing last.
//
// # Secrets
//
// An endpoint's secret is stored as it is: who signs must have it. The owner of the tables and the service's role can read it, so do
// dumps of the database; a copy lets its holder sign messages to that endpoint, and nothing else. It is shown once, when it is made, and
// never listed or logged. Its producer rotates it over HTTP, an operator at the command line.
// What serves the API may write secrets for that (docs/adr/0025).
package webhook
