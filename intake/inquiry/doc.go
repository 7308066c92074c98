// Package inquiry asks the channels about recharge orders that are not known as paid: a payment is learnt although all its notices failed,
// because nobody took them for longer than the channel repeats them, or because they went to a wrong address.
//
// # An order's inquiries
//
//	opened ──► due ──► claimed ──► asked ─┬─► paid: accepted as its notice would have been; no more
//	            ▲        │                ├─► closed, or told for the last time that it is not paid: no more
//	            │        │                ├─► not paid, never seen, refused ──► due again by the schedule
//	            └────────┴── no answer ◄──┘
//
// The schedule is recharge.Order.NextInquiry: some minutes and hours after the order was opened, then when it has expired, and up to three
// days after that. An order whose payment is known by then, as almost every one is, is dropped unasked.
//
// # Invariants
//
//   - Q1 An order's inquiry is stored with the order, in one statement. It goes only after the order's payment was accepted, the channel has
//     closed the order, or the last time of the schedule was answered. What is not answered is asked again, however long that takes.
//   - Q2 What a channel answers is matched and accepted as its notice is (notice.Payments), so that an inquiry and a notice, or two
//     inquiries, of one payment fund one request, whichever comes first and whoever dies in between.
//   - Q3 A channel is asked outside any transaction.
//   - Q4 No answer, a refusal and an unknown number move nothing and end nothing before the last time.
//
// # Concurrency
//
// Several processes may ask. An order is claimed for a lease, and comes again when its process has died. A channel is asked about a few
// orders at once; one that answers nothing is asked about a single one until it answers, and each order waits longer after each try. An
// answer that cannot be read is one: no order waits for another whose answer is of another app or in new words. The channels do not wait
// for each other.
//
// # Which process
//
// Workers ask. They have the channels' settings for refunds and may call out, and they run while the API, which takes the notices, is
// down: that is when payments are missed. A channel that no worker has is not asked; its orders wait, and an alert tells of them.
//
// # Failures
//
// While PostgreSQL is away nobody is asked. An answer that cannot be stored is asked for again. A panic of a port is an answer that was
// not given.
package inquiry
