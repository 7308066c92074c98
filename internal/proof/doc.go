// Package proof holds no code, only tests that run the whole system, or all of it but the network, against what it promises: no
// refund twice, none lost, books that always balance. Each test has a PostgreSQL database, and a Redis where it needs one, of its
// own, and ends with the audit.
//
//   - race_test.go: partial refunds that race for one order never take more than was captured, and are never refused needlessly;
//   - sequence_test.go: random sequences of all kinds have the outcomes and the balances of a simple model (model_test.go);
//   - crash_test.go: a worker is cut from PostgreSQL, or killed, at every point of a batch; the effects are there exactly once.
//     cable_test.go is the wire that cuts, process_test.go the worker's process;
//   - lease_test.go: a worker is frozen past its lease and its locks, or killed at a task's last attempt;
//   - order_test.go: first postings of new accounts in parallel, and deliveries that are shuffled and repeated;
//   - ledgers_test.go: two ledgers on one PostgreSQL and one Redis give the same keys two results;
//   - queue_test.go: one ring in two workers, a Redis that is wiped, a PostgreSQL that crashes under load;
//   - lost_reply_test.go: the lines to Redis (lossy_redis_test.go) lose commands and replies, and Redis what it acknowledged;
//   - rolling_test.go: the version before, built from the repository's history (older_test.go), and this one share one system;
//   - statements_test.go: every SQL statement of the sources prepares against the migrated schema, as the service's role;
//   - jd_export_test.go: a real user's month agrees with the totals in the file's own header.
package proof
