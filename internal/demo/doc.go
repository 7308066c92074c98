// Package demo shows that the system does what it promises: it tells one user's story, plays a day of 10,000 users with a worker killed
// and Redis wiped in the middle, sweeps 100,000 enrolled users, and then judges the books from outside.
//
// # The producers' record
//
// The producers keep a record in memory of what they asked and what they were answered. Every request of the plan carries what must
// become of it: that it is applied and what it moves, that it is rejected and why, or that it stays parked. The plan is made so that
// this does not depend on the order in which requests are applied:
//
//   - Users spend what they were given in the morning, which has been applied before the day begins. What they are given later, by
//     refunds, rewards and other users, stays unspent.
//   - Partial refunds of an order that was paid in several ways split without a remainder, or add up to the whole order.
//   - Where requests compete for the same money, all ask for the same amount, and the record says how many of them can win.
//
// The record's arithmetic is its own; it shares no code with the rules that it judges.
//
// # The channels' record
//
// The day's recharges are paid at simulated channels, which tell of them by signed notices over HTTP: twice, late, out of order, again
// after they were acknowledged, and after probes whose signatures are wrong. Some are paid with a fen less than was asked, and belong in
// suspense. The channels keep a record of their own, with which the books are compared payment by payment. Refunds are answered inside
// the workers: asking a channel for thousands of them would take longer than a newcomer waits.
//
// # Verdict
//
//   - lost: a request was answered as accepted and has no row, no outcome that it should have, or another outcome; or somebody has
//     less than the record says; or a channel was paid and no request has booked it.
//   - doubled: a request had more than one effect, or an effect that it must not have; or somebody has more than the record says;
//     or a channel's payment is booked twice, or was never paid.
//   - The books balance when the ledger's audit finds nothing.
//
// # Concurrency
//
// Every goroutine ends before Run returns. A worker process never outlives the demo, however the demo ends: a guardian holds the other
// end of a pipe and kills it.
package demo
