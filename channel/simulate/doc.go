// Package simulate stands in for payment channels: it takes payments, sends signed notices and sends them again until they are
// acknowledged, answers refund interfaces, and misbehaves on request. The formats are the channels' own: a Dialect for each, in a
// package of its own, so that none of them is known here.
//
// # What it is made of
//
//	payer ── Pay ──► desk of a channel ──► journal ──► notice ──► POST to the merchant, again until acknowledged
//	                     ▲   │                              ▲
//	merchant ─ Handler ──┘   └── a refund, ended ───────────┘
//
// A desk holds what was ordered, what was paid and what is refunded. The journal is its memory across a crash. Control serves people and
// drills: open and close an order, pay, read the record, set faults, rotate keys. A merchant's queries of payments are answered from the
// desk, not from what was told in notices.
//
// # Time
//
// Payments and ends of refunds carry the clock's own time, because merchants judge the age of what is signed. Pauses (between
// deliveries, until a refund ends) are a channel's real ones divided by the time scale. How long a merchant may take to answer is
// never scaled.
//
// # Faults
//
// Faults are per mille of the payments, refunds or notices. A payment may also be paid as one whose notices are lost, and a refund that
// failed may be paid after all, on request. Which ones are hit is read from a hash of the seed, the fault and the number that the merchant
// gave, so a run with the same numbers and seed misbehaves alike, however its goroutines were scheduled.
//
// # Invariants
//
//   - S1 An order, payment or refund that was answered is in the journal, synced. After SIGKILL it is in the record, its notice is sent if it was
//     not acknowledged, and the same call answers the same.
//   - S2 A payment's refunds that have not failed, or are paid after that, never exceed it. A refund's number belongs to one payment and
//     one amount.
//   - S3 How and when a refund ends is decided when it is taken, and in the journal: it never changes its end, nor the time of it. But one
//     that failed may be paid after all, once: decided with its end, or asked for by Revise, and in the journal as well. The record shows
//     both ends. Each has a notice of its own, so the failure's may arrive after the other.
//   - S4 A notice is sent at least once, unless the channel has none of its kind or it is to be lost, and until the merchant acknowledges it
//     or the channel's last pause is over; a new start counts the pauses from the first. A merchant may see a notice again after it has
//     acknowledged it: the acknowledgement may be lost in a crash, or on request.
//   - S5 Keys outlive the process, and what merchants get of them is written again at each start and rotation.
//
// # Files
//
//	dir/wechat.json, dir/wechat/…        what the merchant gets; package roster reads it
//	dir/simulator/journal.ndjson         a JSON object a line; locked by the one simulator that uses it
//	dir/simulator/wechat.keys            the channel's own private keys, and the merchant's
//
// Nothing is ever forgotten: memory and journal grow with what is paid.
package simulate
