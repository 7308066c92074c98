// Package intake is the front door for producers that speak HTTP: it verifies, validates and accepts requests, and tells what
// became of them. No money rule runs here.
//
// # Routes
//
//	POST /v1/requests/{kind}                      accept one request of a kind, such as refund:apply
//	POST /v1/requests/{kind}/bulk                 accept a list of up to 10,000, or a stream of them of up to 1 GiB
//	GET  /v1/requests                             requests that have no outcome yet: accepted, parked or dead
//	GET  /v1/requests/{kind}/{key}                one request: payload, outcome, transfers, timeline
//	GET  /v1/requests/{kind}/{key}/transfers      all of its transfers, and at /timeline all that happened to it
//	POST /v1/recharge-orders                      open a recharge order
//	GET  /v1/recharge-orders/{recharge_id}        one order: its number at the channel, and whether it is paid
//	POST /v1/recharge-orders/{recharge_id}/close  close one that is not paid
//	GET  /v1/cases                                cases, which a person decides by requests of the kinds case:credit, case:return, case:close
//	GET  /v1/cases/{case_id}                      one case, and how it was closed
//	POST /v1/notices/{channel}                    where channels send their notices; see package notice
//	GET  /v1/orders/{order_id}                    what an order captured, gave back, and can still give back, by leg and line
//	GET  /v1/orders/{order_id}/refunds            the refunds that were asked of it
//	POST /v1/refunds/preview                      what would become of a refund, and what would go where; changes nothing
//	GET  /v1/users/{user_id}/balances             a user's balances, now or ?at= a time
//	GET  /v1/users/{user_id}/statement            what moved on a user's accounts, as JSON or CSV
//	POST /v1/webhook-endpoints                    make an endpoint at which a producer is told of outcomes; its secret is answered once
//	GET  /v1/webhook-endpoints                    a producer's endpoints
//	GET  /v1/webhook-endpoints/{id}               one: its state, how far it has come, what went wrong last
//	POST /v1/webhook-endpoints/{id}/enable        call it again; also /disable, and /rotate for another secret
//	GET  /v1/webhook-endpoints/{id}/messages      what it was sent, those that are dead for one
//	POST /v1/webhook-endpoints/{id}/redeliver     deliver messages again: one, the dead ones, or all from a sequence on
//	GET  /docs                                    the description of all this as a page, which loads nothing from elsewhere
//	GET  /openapi.json                            the same as data, made from the code (also .yaml)
//
// # Answers to a request
//
//	202  accepted: it is stored durably, and the producer may forget it
//	200  replayed: it was stored before with the same content; its outcome stands beside it once it is decided
//	200  accepted and decided already, when the call preferred to wait for that (Prefer: wait=5)
//	409  conflict: its key was used before with other content; each field that differs is named
//	409  taken: its key was used before by another producer; nothing is told of what is stored, nor whether it is the same
//	413  the body is too large to be a request
//	415  the body is not declared as application/json, or has a Content-Encoding
//	422  refused: the field, or parameter of the query, what is wrong with it and what is allowed are named; nothing is stored
//	503  PostgreSQL did not answer in time: whether the request was accepted is unknown; or too much is under way here
//
// Every answer from 400 upward is a problem of RFC 9457 (application/problem+json), but for those to channels' notices, which have the
// form that the channel reads, of /docs, which is plain text when the page cannot be made, and of what net/http refuses before any handler:
// a malformed head (400), one that is too large (431), an unknown transfer coding (501) or version (505), in plain text.
// After a 503, a 500, or no answer at all the producer sends the same request with the same key again, which is always safe.
//
// # Waiting for an outcome
//
// A call may prefer to wait for up to 30 s (RFC 7240). PostgreSQL is asked for all outcomes that are waited for in one question, every
// 10 ms and never for more than a fifth of a connection's time; batches know nothing of it. At most 1,000 calls wait in a process:
// others are answered 202 at once, as is everybody when the process ends.
//
// # Lists
//
// A request is answered with its first 1,000 transfers and its newest 200 events, and names the pages that have the others.
//
// A list has pages of up to 500 (limit), each with the cursor of the next one, which stands in a header Link (RFC 8288) too. A cursor
// names a place and not a number: what is added while somebody pages moves nothing to another page. It is of one list, and is refused
// by another. A key sees the requests of its own producer only, in orders and lists too; admin sees all. Users and orders are the wallet's,
// not a producer's: every key with the scope read sees their balances, statements, and what can be refunded.
//
// # Refunds through channels
//
// A refund that is applied may still be on its way back through a channel. Its record, and its order, tell by leg which channel was
// asked, under which number, and how that ended: succeeded, or failed, with the money in the user's balance or before a person. The
// internal requests that do it, refund:send and refund:answer, are settled's own and are shown to admin alone.
//
// # Webhook endpoints
//
// A key with webhooks:write keeps the endpoints of its own producer, and sees no others; admin keeps everybody's. Package webhook stores
// and calls them: nothing of its tables is known here. Addresses that are not public are refused when an endpoint is made and again when
// it is called, unless the server was started so.
//
// # Many requests in one call
//
// A list (application/json, up to 16 MiB) is read whole, counted against the key's rate, then accepted in chunks of 500, an insert each, and
// answered when all of it is committed. 12 lists are in memory at a time, at most 3 of one key: who sends slowly keeps its own key's
// other lists waiting (429), not those of others (503). A stream (application/x-ndjson) is answered line by line while it is read: a chunk is what has
// arrived, up to 500 lines, and its answers are written after its commit. Two chunks are held at a time, whatever the stream's
// length; a client that does not read its answers is not read from, and one that is faster than its key's rate is slowed down to it.
//
// Chunks are committed one after the other: of two requests with one key the first counts, and the second is a replay or a conflict.
// A refused request does not stop the others. A list that fails in its middle is answered 503 as a whole; a stream ends with a line
// of status stopped, which names the first line whose fate is unknown. Either is sent again with the same keys.
//
// # Failures
//
// Redis is not asked: an acceptance whose ring is lost is rung again by the worker's relay. What an error answers never tells of
// addresses, statements or stored content; that is logged.
package intake
