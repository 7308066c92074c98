// Package worker takes rings from asynq's queues and has the ledger apply the requests that they name. It holds no state of its own
// that matters: a worker may be killed at any moment, and any number of them run side by side.
//
// # States of a task
//
//	pending ─► active ─┬─► done     every request of the ring has an outcome, is parked, or is dead (in PostgreSQL)
//	   ▲               ├─► stray    it names no request of ours: recorded in PostgreSQL, ended
//	   │               ├─► refused  channels refuse refunds of it; the rest has ended or is rung for apart: the relay comes again
//	   │               └─► later ─► retry ─┐
//	   └───────────────────────────────────┘   an error says nothing of a request; nothing is refused because of one
//
// One place, class.go, decides which. The task's end is not the request's: outcomes are the ledger's, and the relay rings again for
// every accepted request that has none.
//
// # Invariants
//
//   - W1 No error decides a request. Outages are waited for; a task whose retries are used up ends, and the relay rings again.
//   - W2 Nothing enters asynq's archive from a handler: it forgets silently, and dead requests are in PostgreSQL.
//   - W3 A task that cannot be read, or whose requests are not stored or are of another kind than it says, blocks nothing and applies
//     none of those: it is recorded, counted and ended. One of a newer version is kept for a newer worker.
//   - W4 A request that ends its process is dead after a bounded number of starts; its neighbours complete.
//   - W5 A channel is called outside any transaction; it is queried first when PostgreSQL knows of an earlier start, or a person has
//     requeued the refund.
//   - W6 After Shutdown returned nil, nothing is written.
//   - W7 A Redis that lost everything is noticed within the relay's interval, a second, or within the relay's longest pause, ten seconds,
//     when it did not answer before; and every accepted request is rung again.
//   - W8 A refund that its channel refuses in verified answers is dead after a bounded number of refusals, with the channel's words as the
//     cause. No other answer, no missing one and no lost process brings it nearer to that; its money stays in the refunding account.
//     A refusal of the merchant, which every refund gets, makes none of them dead, however long it lasts.
//   - W9 A channel is left alone only for what says nothing of a refund: no answer, or a refusal of the merchant; never for a verified
//     refusal of the refund. A request's last error is its own.
//
// # Parts
//
// Several asynq servers run in one process, each on one queue: a server is bound by its single dequeue loop. They share a Redis client
// that is wrapped three times, from the outside in: hardenedRedis mends asynq's replay and its spinning, doneCombiner ends tasks
// that finish together by one script, idleWait replaces polling by waiting. The relay and the collector use the plain client.
// What waits in PostgreSQL is counted behind the scrapes, one count at a time; a scrape is served the last one while the next one runs.
//
// # Suspects
//
// A ring that comes back because its process is gone, or that the relay repeats, may hold a request that ends processes. Its requests'
// starts are counted in PostgreSQL before the work begins. The first time they are applied together once more, because a lost ring is
// far more common than a deadly request; from the second on each is rung alone and applied in a batch of its own; after StartsMax
// starts it is dead. A start whose process lived to see it fail is taken back.
//
// # Refusals
//
// A signed refusal that is not final (channel.ErrRefused: a frozen payment, one in dispute) may pass, or a person may make it pass. Such a
// refund is asked about and sent again with the relay's pauses, 30 seconds and then twice as long up to ten minutes: 20 refusals in two and
// a half hours. Requeued, it has as many again. One of the merchant (channel.ErrMerchantRefused: no balance, no right) does not count: the
// refunds come again by the same pauses until it is mended, and an alert says so meanwhile.
//
// A refund's starts are counted where those of suspects are, because the second must know that its channel may have been asked (W5); one
// that ended in anything but a refusal is taken back, though never the first.
//
// # Processing
//
// A channel takes from seconds to days. The first ring of a refund asks on by itself for an hour and a half, after seconds at first and ten
// minutes at last; the relay's rings ask once each, after 30 seconds and then twice as long up to ten minutes. WeChat Pay's guide advises
// longer pauses, a minute at first and 30 at last.
//
// # Failures
//
// PostgreSQL away: handlers hold their tasks and try again together, every few seconds; asynq holds the rest. Redis away: servers try
// ten times a second, the relay backs off, work that has begun is finished, and its repeat finds the outcomes. Redis wiped: W7. Redis failed over by
// Sentinel: connections to the old master end, or are refused as a replica's, and work goes on at the new one; rings that it does not
// hold are W7's, or are due in time.
// A channel that does not answer is left alone, longer each time, and its refunds come again. Process killed: asynq hands its tasks out
// again after one to two minutes, the relay often earlier.
//
// PostgreSQL is authoritative for everything; Redis only for which worker is told next.
package worker
