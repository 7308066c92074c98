// Package bench measures what settled does per second, beside what its parts could do at most and what a team would write first.
//
// All rows run on the same servers in one run, in turn, for several rounds; a row's figure is the median of its rounds, and its
// ratio to a comparator the median of the rounds' ratios, so that a machine whose speed drifts does not decide. Every row says which
// work it did and what CPU each process took, without what prepared it, in memory that this process held before: one that has run for a
// while does.
//
// # Comparators
//
//   - empty: asynq with an empty handler, the same number of servers and tasks. What the queue alone can do.
//   - raw_batch: PostgreSQL alone writing the same rows in the same batch size, everything decided beforehand. What the database
//     alone can do.
//   - typical: the handler that a team would write first: a transaction per task which locks both accounts.
//   - raw_accept: PostgreSQL alone storing the same requests, as many at a time as there are producers. What accepting costs at least.
//   - bare_notice: as many RSA signatures verified, and the same requests accepted. What a channel's notice costs at least.
//   - set_sql: one statement per chunk that decides and writes the sweep inside PostgreSQL.
//   - fresh: refund-bulk on tables that are young. What a long history takes from it.
//
// The books of a run balance: raw_batch and set_sql write what the ledger would have written, and the run ends with the audit.
package bench
