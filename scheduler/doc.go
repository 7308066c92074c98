// Package scheduler asks for what is due by the calendar: the nightly sweeps. It is a producer like any other: all that it does is
// accept requests at the right time, once.
//
// # States of a slot
//
// A slot is one due run of a job: (job, business date).
//
//	not due ─► due ─► claimed     its row and its requests are committed in one transaction: claimed is done
//	            └──► missed ─► claimed later, with its own business date
//
// # Business dates
//
// A slot belongs to the Shanghai calendar date on which it is due: the sweep at 00:30 on Tuesday is Tuesday's, also when it is claimed
// on Friday. The key of its requests is made of that date, never of the time of claiming. Shanghai has had no summer time since 1991,
// so every date has the due time exactly once.
//
// # Invariants
//
//   - S1 A slot is claimed once, however many schedulers run: (job, business_date) is its primary key.
//   - S2 A slot is claimed if and only if its requests are accepted. A crash at any point leaves both or neither.
//   - S3 The slots of a job are claimed in the order of their dates, without gaps from the first one on.
//   - S4 Asking again is harmless: the requests are replays.
//
// # The first start
//
// A job that has never run begins with the slot that was due most recently, or with its start date when that is later: not with all
// of history. Afterwards every slot is caught up, one after the other, however long no scheduler ran.
//
// # Concurrency
//
// A scheduler that claims holds an advisory lock for the job, asks which slot was claimed last, and claims the next one if it is due.
// Others find the lock taken and look again later. The scheduler's clock only says when a slot is due: one that is ten minutes fast
// claims ten minutes early. Replicas need clocks that are right within minutes.
//
// # Failures
//
// PostgreSQL away: the scheduler tries again, ever more slowly up to a minute, and counts each failure. The lag metric grows, but not
// in a scheduler that has not reached PostgreSQL since it started: it does not know what is due, and says 0. Redis away: the requests
// are accepted, and the worker's relay rings for them. The database is authoritative for which slots have been claimed.
package scheduler
