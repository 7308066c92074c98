// Package ledger keeps the books: accounts, transfers, orders, enrolments, and the outcome of every request. It is the only package
// that writes them.
//
// # How a request is applied
//
// A lane is one goroutine per book. It takes the requests that wait, up to a limit, and applies them in one transaction: lock the
// book, claim the requests by taking them out of pending, read what the rules say they read, let the rules decide one by one over the
// rows in memory, write all of it in one round trip, commit. What every batch has much of is one statement a table; order lines,
// enrolments and cases, of which most batches have none, are a statement a row. Each request gets its own outcome; one that parks or dies goes back.
//
//	accepted ──► applied | rejected      final, stored in outcomes; the pending row is deleted in the same transaction
//	    │  ▲
//	    │  └──── woken                   what it waited for was applied
//	    ├──────► parked                  its rule waits for another request
//	    └──────► dead                    no code can decide it; a person requeues it
//
// # Invariants
//
//   - I1 Every transfer has one debit, one credit and a positive amount: each book sums to zero always.
//   - I2 An account's balance equals the sum of its transfers; guarded accounts keep the running balance on each transfer.
//   - I3 A guarded account is never negative, nor below its holds.
//   - I4 Transfers, requests and outcomes are append-only: the service's role cannot update or delete them, a trigger refuses it
//     to everybody else.
//   - I5 A request has at most one outcome, and its transfers are those that its outcome names. The journal of a book is numbered
//     without gaps, and every transfer is named by exactly one outcome.
//   - I6 For each leg 0 <= refunded <= captured; for each order the refunds' sum <= what was captured.
//   - I7 What users, merchants, suspense and refunds under way are owed equals what the reserve, the channels, the wealth assets,
//     the promotions and the other books owe, per book; over all books, what one book owes another is on its way there.
//   - I8 One sweep per user, product and business date; the balance after it is at least the user's keep amount.
//   - I9 A request is pending or has an outcome, never both and never neither.
//   - I10 Every number sent to a channel is a stored request's key, and belongs to one refund. Its answer is revised only if it failed.
//   - I11 What stands in suspense is what open cases ask about. A case is closed by one applied request, which moved all that stood behind
//     it; one that says a shortage is closed with nothing moved. open_cases lists those that are open, and no others.
//   - I12 What is counted of a user's business date, the amount and the number of transfers to others, is what the applied transfer:send of
//     that user and date say. It is read, decided by and changed under the book's lock, so each transfer of a date sees those before it.
//
// # Concurrency
//
// A book has one writer at a time: a batch begins by locking the book's row and holds it to its commit. So a batch needs no other
// row lock but those of its claims, and a decision is made over rows that nobody else changes. Two batches cannot deadlock. What else
// locks several pending rows takes them in the order of their ids, as a claim does, or waits for none. Writes of balances, legs and lines
// still name what they replace, and PostgreSQL refuses the batch when a row was changed behind the lock.
//
// # Failures
//
// A batch that PostgreSQL could not serialize runs again with fresh reads. A batch whose connection broke runs again: it claims what is
// still pending, so a commit that was not answered is found out. A batch whose content PostgreSQL refuses is halved until the request at
// fault stands alone and is dead. A rule that panics or breaks an invariant kills its own request only. Everything else is returned to the
// callers, who try again later; it never becomes a refusal.
//
// The database is authoritative for outcomes, balances and the numbering of the journal; a lane caches the ids of unguarded accounts,
// which never change, and the policy by its version.
package ledger
