// Package unionpaysim is UnionPay's side of the wire, for tests, demos and drills: it has a certification authority of its own, signs
// notices, and serves the interfaces of refunds and the query of an order. The formats are those of package unionpay, whose doc.go names the sources; they are
// written down here a second time, so that neither side hides a mistake of the other.
//
// # Keys
//
// New makes a root, a middle certificate below it, and a merchant with a certificate of the middle's. Rotate makes a new signing
// certificate below the same middle, so that settings written before go on to verify: as with UnionPay, a merchant has nothing to do.
//
// # Answers
//
//	what the desk says of a refund          respCode
//	taken                                   00, and it is asked about later
//	taken before under the same number      12
//	simulate.ErrNumberTaken                 12
//	simulate.ErrUnknownPayment              35
//	simulate.ErrTooMuch                     36
//	anything else                           02
//
//	of a query                              respCode, origRespCode
//	no such refund, or with another time    34
//	processing, succeeded, failed           00; 05, 00, the code in front of the reason or 63
//	an order that waits, is paid, is closed 00; 05, 00, 39
//	no such order, or with another time     34
//
// Before the desk is asked: a wrong signature is 11, a field that is missing or cannot be read is 10. The limits of age are not imitated.
//
// # Invariants
//
//   - The merchant's package reads every notice that is made here to an equal channel.Notice, with times of whole seconds, a refund
//     without OutTradeNo and without the time of its end, and a failure's reason as the package words it.
//   - A drop leaves the merchant without a byte of the answer after the desk has taken the refund.
package unionpaysim
