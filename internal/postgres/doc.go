// Package postgres opens the database, migrates it, and names what its errors mean. It knows no business.
//
// # Connections
//
// Open is for everything that serves: its connections act as the role settled_service, which cannot update or delete
// what is append-only (I4). OpenOwner is for migrations, the audit's repairs by a person, and tests; it acts as the
// user that the URL names. Defaults of both pools stand beside their constants in pool.go.
//
// A serving process does not start on a server where an acknowledged commit can be lost by a crash
// (synchronous_commit off), on a standby, or on one that is too old: Open fails with ErrAsyncCommit, ErrStandby or
// ErrOldServer. A failover to an asynchronous standby loses acknowledged commits all the same; a deployment that fails
// over needs synchronous_standby_names. Connections that a pool opens later wait for their commits even where the
// database's setting was turned off meanwhile.
//
// The role and the timeouts travel in the connection's start-up message and statements are prepared per connection, so
// a pooler in transaction mode between us and the server is not supported.
//
// # Errors
//
// Errors never hold a password: a URL that cannot be read is a *URLError, everything else names the server by Address.
// IsRetryable, IsConnection, IsContent and Constraint sort what the server answers; nothing else knows SQLSTATEs, but
// package tasks the classes of IsContent: what producers import must not bring the migrations along.
//
// # Migrations
//
// Files in migrations/ run in the order of their numbers, each in a transaction, forward only. Two Migrate at once are
// safe: the second waits for the first and finds nothing to do. A migration locks the tables that it changes to its end, and an index
// takes as long as its table is large: 00005 stops applying (books, outcomes), 00010 accepting and what applying asks for (requests).
// Whoever waits for such a lock longer than lock_timeout fails, and tries again or asks again.
package postgres
