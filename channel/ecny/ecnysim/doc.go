// Package ecnysim is the bank's side of the wire for digital RMB, for tests, demos and drills: it makes keys for itself and for a
// merchant, signs notices, and serves the interfaces of refunds and the query of an order. The format is that of package ecny, whose doc.go says what it is
// modelled on; it is written down here a second time, so that neither side hides a mistake of the other.
//
// # Keys
//
// The bank signs with its newest key; Rotate makes one. Settings that were written before do not have it, settings written after have
// it and the one before. Its signatures have the zero bytes that the real bank's have.
//
// # Answers
//
//	what the desk says                      returnCode, respCode and errCode, or the refund's state
//	done, nothing yet, failed               SUCCESS SUCCESS; S, P, F
//	simulate.ErrUnknownPayment              SUCCESS FAIL OCMBORDERID_NOT_EXIST
//	simulate.ErrTooMuch                     SUCCESS FAIL NOT_ENOUGH
//	simulate.ErrNumberTaken                 SUCCESS FAIL ORDERID_DUPLICATION
//	an order that is paid                   SUCCESS SUCCESS; S, or R once something of it was refunded
//	an order that is not paid, or closed    SUCCESS SUCCESS; P, C
//	no such refund or order                 SUCCESS FAIL CMBORDERID_NOT_EXIST; more than 15 days old, CMB_ORDERID_NOT_EXIST
//	anything else                           SUCCESS FAIL SYSTERM_ERROR
//
// Before the desk is asked: a wrong signature, header or time is FAIL SIGN_ERROR; a request that cannot be read is FAIL
// JSON_FORMAT_ERROR; an original amount that is not the payment's is TXNAMT_ERROR, and a payment more than 365 days old TRADE_OVERDUE. All
// answers have status 200 and are signed. The limit of 50 partial refunds is not imitated.
//
// The pauses between deliveries are documented by the bank; how long it waits for an answer, how old a request may be and how long a
// payment can be refunded is assumed.
//
// # Invariants
//
//   - The merchant's package reads every notice that is made here to an equal channel.Notice, with times of whole seconds; a refund's
//     without OutTradeNo, ChannelTxnID and the time of its end.
//   - A drop leaves the merchant without a byte of the answer after the desk has taken the refund.
package ecnysim
