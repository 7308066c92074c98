// Package access decides who may do what over HTTP: it issues API keys, proves them, says which scope a request needs, and limits
// how much one key may ask.
//
// # Keys
//
// A key belongs to one producer and has scopes. Its token, `sk_<16 hex digits>_<43 characters of base64url>`, is shown once, when it
// is made; it travels as `Authorization: Bearer <token>`. The first part names the key and is no secret: it stands in lists and
// logs. The second is 32 random bytes, of which the table api_keys holds the SHA-256 only. A slow hash would add nothing: it is for
// secrets that can be guessed, and 256 random bits cannot. Several keys of one producer may be valid at once, so that a key is
// replaced without a pause: create the new one, deploy it, revoke the old one.
//
// # States
//
// valid, then revoked: for good. Operators create and revoke, as the owner of the tables; serving processes may only read.
//
// # Invariants
//
//  1. Nothing is allowed by default: a call without a proven key, or to a route that declares no scope, is refused.
//  2. A secret's hash is compared in constant time, and is compared too when no such key exists. What is answered for an unknown
//     key is what is answered for a wrong secret; only who knows a key's secret learns that it was revoked.
//  3. A key that was revoked is refused after Fresh (5 s) at the latest, by every process that reaches PostgreSQL.
//  4. A token's secret is in no log, error, metric or table; a Token prints as its name alone.
//  5. The scope admin implies all others. Without it a key sees only the requests of its own producer: of
//     another's it learns no more than that a key of theirs is taken. Users and orders are shared by all producers (Read).
//  6. A key may ask Rate items a second, with bursts of Burst, in each process. A call counts one item; a call with many items counts
//     each of them.
//
// # Failures
//
// *Refusal is the caller's fault, and says which: no key, a malformed one, an unknown or revoked one, a missing scope, or too much at
// once. Any other error means that PostgreSQL could not be asked, which is never taken for a refusal: keys that were proven within
// Stale (5 min) keep working meanwhile, others are answered that the books are away.
package access
