// Package drill breaks a running system on purpose and counts what came of it.
//
// RedisLoss asks for small rewards, has Redis lose everything in the middle, goes on asking, and then compares what it was told with the
// books. A Loss says how: FLUSHDB, an outage, a killed process, or a failover.
//
//	ask ──► half is accepted ──► the loss, while it asks on ──► wait until everything accepted is decided ──► compare
//
// Channels runs a system of its own: shoppers recharge, buy and ask for refunds through simulated channels while its processes are killed
// and Redis is wiped. In the middle every channel gets new keys. When all has settled it compares the channels' own record, what it was
// answered and what outcome webhooks told it with the books.
//
// # Invariants
//
//   - D1 What was accepted is decided, whatever Redis forgot: a request without an outcome when the patience ends is lost.
//   - D2 What was accepted moved once: a request with more than one transfer, or an account with more than its rewards, is doubled.
//   - D3 RedisLoss, which runs beside others' work, touches no account but its own users' and its campaign's: their names begin with
//     "drill". Its rewards stay in the books, a fen each, because books are never undone. Channels also moves what the channels' own
//     accounts and suspense hold.
//   - D4 Channels' producer is told of each outcome that is its own, in one message that verifies; the messages' numbers have no gap, and what
//     comes again says the same. What a killed worker had claimed is delivered again on request, not after the minutes of its lease.
//   - D5 Once the API's process has loaded a channel's new keys, it refuses no notice of it, by its own count.
//   - D6 A payment that no notice told of is booked, because settled asks for it. Once nothing breaks any more the drill has it asked at
//     once, not minutes later by its schedule.
//
// # Failures
//
// An acceptance whose answer did not come is asked again under its key, as a producer would. Redis being away is part of the drill.
package drill
