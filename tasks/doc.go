// Package tasks holds the words that producers and workers share: the kinds of request, their wire shapes, the queues, the doorbell
// that asynq carries, and the Go client that accepts requests.
//
// # Accepting
//
// A request is accepted when its row in `requests` and its row in `pending` are committed, in one statement. Only then does the
// client ring: it enqueues an asynq task which carries the ids of 1 to 500 requests of one book and nothing else. A lost ring
// costs time, never a request: the worker's relay rings again for whatever is pending.
//
// # Identity
//
// A request is identified by its kind and its key, the producer's own id. Asked again with the same content it is a replay and
// answers what is stored; with other content it is a conflict, which is refused and recorded with the fields that differ. Contents
// are compared in canonical form: amounts with two places, times in UTC, fields in a fixed order.
//
// Each request is stored with its producer, the one who asked first. Client.As asks for several producers through one client: they
// share its inserts. Keys are unique across producers: a receipt says whose the stored request is. A Go
// program that has the database is trusted, and told all of it; the HTTP API tells another producer only that the key is taken.
//
// # Invariants
//
//   - A ring names requests; it never carries an amount or an owner.
//   - A receipt with status accepted or replayed is given only after the commit which made the request durable.
//   - Nothing is stored of a request that was refused for a field.
//   - A recharge that has a recharge order is confirmed by Client.FromChannel alone; one that a producer has confirmed gets no order.
//
// # Failures
//
// A *FieldError names the field, what is wrong with it and what is allowed. A *ConflictError carries the stored request's receipt.
// Any other error of an enqueue call means that the acceptance is unknown: ask again with the same key, which is always safe.
package tasks
