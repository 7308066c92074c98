// Package unionpay is the merchant's side of UnionPay's ACP (全渠道), version 5.1.0, for a merchant that is connected directly: it reads
// the notices that UnionPay sends to a backUrl, asks it for refunds, and asks it what became of payments. It needs nothing but the standard library.
//
// # Messages
//
// All messages are names and values, and all are signed alike: the fields but signature, sorted by name, are written name=value and joined
// with &; the signature is RSA PKCS #1 v1.5 with SHA-256 over the lower-case hexadecimal SHA-256 of that text. The message carries the
// certificate of its key in signPubKeyCert, as PEM with lines that end in CRLF. The certificate is under the signature with its line
// ends, and proves nothing by itself: a middle certificate of CFCA's that we were given must have issued it, one of our roots must have
// issued the middle, the third part of its common name must be 中国银联股份有限公司, and all three must be valid.
//
//	notice: an encoded form ──┐                                                    ┌─► ours, 156, whole positive fen ─► notice
//	                          ├─► fields ─► certificate: issuer, name, time ─► signature
//	answer: nothing encoded ──┘                                                    └─► our number, time, amount ─► answer
//
// Requests and answers differ in form: requests and notices are encoded as HTML forms, while answers are written as they are signed, with
// raw CR, LF, + and /. There, a pair of braces or brackets keeps an & inside of it, and must be complete.
//
// UnionPay sends no field that is empty. An empty one is signed as name= all the same, as UnionPay's own SDKs do with whatever they are
// given; it reads as if it were not there.
//
// # Notices
//
//	txnType 01, payment, respCode 00 or A6     channel.EventPaid; ChannelTxnID is queryId, OutTradeNo is orderId
//	txnType 01 with any other respCode         channel.EventOther: this attempt has not paid, another may
//	txnType 04, refund; 31, void               channel.EventRefund; RefundNumber is orderId, ChannelTxnID is origQryId; no OutTradeNo
//	anything else                              channel.EventOther
//
// The respCode of a refund reads as the origRespCode of a query below. One that is not certain is told as processing: a query will show.
//
// Answers are signed by the same key, in the same way, and name the same fields, but mean something else: the respCode of a query's answer
// says that the query worked, and that of a refund's answer that the refund was taken, or that a repeat of it was not. A notice has no
// origRespCode and no origRespMsg; that of a transaction which has ended has traceNo and traceTime, and of one that succeeded also
// settleAmt and settleDate. What differs is malformed (U8).
//
// A6 is "succeeded with defects": money has moved, and a system on the way did not confirm. It is taken for paid, because the payer has
// paid: to drop it would lose the money. UnionPay advises to query a payment before it is believed, after 00 as after A6. This package
// does not: a signed notice of success has no other outcome, and a payment that a later bill does not show is a matter of reconciliation. The
// answer would be signed by the same key: docs/adr/0030 weighs it.
//
// A void undoes a payment of the same day as a whole; we never ask for one. It is told as a refund because it is one: under a number that
// is not ours, so that a person will look, and never as something that concerns no money.
//
// A payment's OccurredAt is traceTime, when UnionPay passed it on to the bank: txnTime, when the merchant sent the order, is earlier, by as
// long as the payer took. Of everything else OccurredAt is txnTime.
//
// # Refunds
//
// Refund is a back transaction of txnType 04, Query is a query of our number. UnionPay knows a transaction by merId, orderId and txnTime
// together, and refuses the same three a second time (12), so txnTime must never change: it is the stored order's OccurredAt.
//
//	to Refund   respCode 00, A6, 03, 04, 05        processing: it was taken, or may have been
//	to Query    respCode 34                        channel.ErrUnknownNumber
//	            00 with origRespCode 00, A6        succeeded
//	            00 with origRespCode 03, 04, 05    processing
//	            00 with a code of failures         failed, with the code and its meaning as reason
//	everything else                                an error: unknown
//
// UnionPay itself takes any other origRespCode for a failure. Here only those count that name a reason which cannot pass; 01, 60 and some
// more are errors with the code, which a person can read, since to pay a refund twice is worse than to wait. They are beside
// channel.ErrRefused, as all refusals are but the respCodes 02, 06, 11 and 37, which speak of no refund. The respCodes 31, 32 and 43 speak
// of the merchant: channel.ErrMerchantRefused. Of failures neither a notice nor
// an answer tells the time.
//
// 34 can also mean that the query overtook the refund. The refund that then follows has the same three values, of which UnionPay makes one
// transaction.
//
// # Payments
//
// QueryPayment is a query of the order's number and txnTime. UnionPay finds nothing under another txnTime, so whoever sends it an order must
// give it the time at which the recharge order was opened (created_at of the API), in Shanghai, to the second, and the same when it sends
// the order again.
//
//	respCode 34                        channel.ErrUnknownNumber
//	00 with origRespCode 00, A6        channel.EventPaid, as a notice of the payment
//	00 with origRespCode 03, 04, 05    channel.ErrUnpaid: nobody has paid yet, or an attempt is under way
//	00 with a code of failures         channel.ErrUnpaid: an attempt has failed, and the payer may make another
//	everything else                    an error: nothing is known
//
// UnionPay has no word for an order that will never be paid, so there is no channel.EventClosed.
//
// # Invariants
//
//   - U1 Nothing of a message is used before its signature was verified, and no certificate before its issuer, name and time were.
//   - U2 A message whose fields differ in any byte from what was signed is refused, and a signed text belongs to one set of fields only: a
//     name is there once, and no value holds what could be the next field.
//     In a notice that is an & with a name and = behind it, where the name comes after the value's own, unless a pair of braces or brackets
//     is around the whole value. A value that begins such a pair and leaves it open is refused if a later one could end it. Other braces,
//     brackets and & mean nothing: they may be the second byte of a character in GBK, or a payer's words.
//   - U3 An amount is read from digits alone, in fen. No float, no exponent, no sign.
//   - U4 The same refund is asked for, and asked about, under the same orderId and txnTime for ever.
//   - U5 A refund ends only by a verified answer to a query, or by a notice, which speak of that very number. A signature does not cover
//     the request, so an answer must also repeat our number, time and amount. A refusal of Refund ends nothing: it may be the
//     answer to a repeat. An answer about a payment must repeat the order's number and time, and have the marks of a payment that
//     succeeded.
//   - U6 The same end of a refund, and the same payment, reads the same in a notice and in every query (C4 of package channel): the reason
//     of a failure is made of the code alone, and no end has a time.
//   - U7 No key is printed by any verb of fmt, and no error quotes a key, a body or a certificate.
//   - U8 No answer to a query or to a request is read as a notice of an end.
//
// # Failures
//
// ReadNotice returns the errors of channel.Port, but neither ErrStale nor ErrProbe: UnionPay has no such thing. Reply turns them into 401
// (not genuine), 400 (malformed), 403 (not ours) and 503 (anything else); UnionPay then sends the notice again, four times in twelve
// minutes. Success is 200.
//
// The signatures on CFCA's test certificates are SHA-1, which is refused unless allow_sha1 says otherwise. UnionPay's older test
// certificates have 00040000:SIGN for a name, which signer_names can allow. UnionPay changes its signing certificate without notice; as
// long as its issuer is configured, nothing has to be done.
//
// # Sources
//
// The interface pages of open.unionpay.com, such as acproduct/APIList?acpAPIId=800&apiservId=468 (orderId of 8 to 40 letters and
// digits, the three values that make a transaction, voids); UnionPay's own 5.1.0 SDKs and samples for Java and PHP as found in public repositories
// (signing, the certificate's checks and its other name in tests, the form of answers, query until neither 03, 04 nor 05, 34); UnionPay's
// list of response codes (平台接入接口规范, part 5); github.com/smartwalle/unionpay, notify.go (deliveries); answers of the test gateway to
// queries of a payment that was made (signed, and read by this package as here) and of one that was not, in the tests of public clients; and
// a signed answer of the test gateway, with which the tests compare this package.
//
// A Channel is immutable and may be used by many goroutines: keys rotate by loading a new one.
package unionpay
