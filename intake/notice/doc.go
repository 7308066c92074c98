// Package notice takes the notices of payment channels: that a payer has paid, or that a refund has ended. A channel's port verifies and
// reads a notice; here it is matched with what is stored, and accepted as a request. Nothing is booked here. A payment that a channel tells
// of because it was asked (intake/inquiry) is matched and accepted here too.
//
// # What becomes of a notice
//
//	paid     the number is of a recharge order that asks for this amount through this channel, was open when the payer paid, and is
//	         not paid: recharge:confirm; whose recharge it is says the order, never the notice
//	         anything else: recharge:suspend, and a person decides
//	refund   the end of a refund that was sent under this number, of this payment and amount, through this channel: refund:answer
//	         the same, succeeded, when it is stored that it failed: refund:revise
//	         a number that was never sent, or of another refund: refused, so that the channel comes again
//	other    orders that were closed unpaid, refunds still under way, and whatever moves no money of ours: acknowledged
//
// # Invariants
//
//   - N1 A channel is told success only once what it said is committed, or needs no storing. After anything else, a panic as well, it is
//     told to come again.
//   - N2 A payment is accepted once: its order's recharge:confirm has one content, and a recharge:suspend is named after the payment. A
//     notice that comes again is recognized by the payment, not by its own number, and is accepted as what it was the first time.
//   - N3 A genuine notice of a payment is never dropped: it is credited, or it stands in suspense with a case.
//   - N4 A payment is in time by the channel's time of the payment, so that a notice which is late, or comes again after the order was
//     closed, means the same. Where the channel does not tell that time, it is in time only if the order is open when the notice is
//     matched for the first time: it may have been paid just then.
//   - N5 What contradicts an accepted notice (the same payment with another amount, a refund that ends in two ways) changes nothing. It
//     is recorded as a conflict of what was accepted, or, where a payment has funded something else, as a rejected request, counted, logged
//     as an error and acknowledged: it would never come to be right. One contradiction is booked: that a refund which failed is paid, for
//     channels pay by another way what they could not pay at first.
//   - N6 A payment of which a channel says, when it is first heard of, that it was refunded is suspended, never credited: somebody has given
//     it back by hand, and the payer would have it twice. What was accepted before stays what it is.
//
// # Concurrency
//
// Copies of a notice may come at once, in any number and to several processes. Each looks what is stored, then accepts; the unique key
// of requests decides who was first, and who was not looks again. If two of them see an order differently, because it is closed
// between, both requests may be stored: the ledger books a channel's payment once, and rejects the other.
//
// # Limits
//
// No API key is asked for: the signature proves the channel, and nothing is looked up before it is verified. A body of more than
// BodyBytesMax, a slow one, and more than noticesMax notices at a time are turned away; who is still sending is not one of these. Only
// largeMax bodies of more than usualBytes are held at once, read or half read: who sends such a body slowly keeps out other large ones,
// which channels hardly ever send, and no usual notice. Bodies of notices under way and large ones hold up to noticesMax times usualBytes
// and largeMax times BodyBytesMax: 40 MiB, and twice that while they grow. Who is still sending, or waits, holds what he has sent, up to
// usualBytes. Channels wait 5 to 10 seconds for an answer: after answerWithin they are told to come again, while what is under way may
// still be committed, which the next delivery finds.
//
// # Failures
//
// While PostgreSQL does not answer, notices are answered so that the channel comes again; Redis is not asked. The ports' errors decide
// how a message that is no notice is answered. Notices of payments for orders of a shop do not belong here: what has no recharge order
// goes to suspense, and the payment could not be captured any more.
package notice
