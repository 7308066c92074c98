// Package ecny is the merchant's side of digital RMB (e-CNY): it reads the notices that an operating institution sends, asks it for refunds,
// and asks it what became of payments.
//
// # What it is modelled on
//
// No merchant interface of the People's Bank of China is public: a shop takes digital RMB through an operating institution or an
// acceptance service provider, each with a format of its own. This is the format of one of them, China Merchants Bank's aggregate payment
// interface (商户聚合支付接口, /polypay/v1.0), as public copies of its document show it (versions 3.3.5 and 3.4.1) and public
// clients speak it (github.com/go-pay/gopay/cmbpay v1.5.123). It was not tried against the bank. Another institution needs a package
// of its own.
//
// # Signatures
//
// A message has the fields version, encoding, signMethod (02), biz_content, which is JSON in a string, and sign. The signature is SM2 with
// SM3, user id 1234567812345678, over name=value of all other fields, decoded, sorted by name and joined by &; in DER, in base64. The bank
// signs notices and answers, the merchant requests and its replies to notices. A message does not name its key: all that are
// configured are tried, so that old and new work together while the bank changes.
//
// # Notices
//
// A notice is a POST of a form.
//
//	form, each field once ─► signMethod 02 ─► signature ─► version
//	                                                          │
//	notice ◄─ 15 days ◄─ ours ◄─ EC, CNY, whole positive fen ◄─ strict JSON
//
//	txnAmt, no tradeState or S      channel.EventPaid: as documented, only payments that succeeded are told, without a state
//	txnAmt, tradeState C, D or F    channel.EventClosed
//	txnAmt, tradeState P            channel.EventOther
//	refundAmt, no state or S        channel.EventRefund, succeeded: as documented, only refunds that succeeded are told
//	refundAmt, state F              channel.EventRefund, failed with F as reason
//	refundAmt, state P or R         channel.EventRefund, processing
//	anything else                   malformed: money may have moved that nobody would look at
//
// An answer is signed by the same key, and its content may have the same fields: a notice's envelope has no returnCode, respCode, errCode
// or respMsg.
//
// A refund's notice names the refund by our number and the bank's, and not its payment: OutTradeNo and ChannelTxnID are empty.
//
// A payment's notice may leave out endDate and endTime, when it ended. Then its time is that of the order, the earliest that it can be, and
// Notice.TimeUnknown says so.
//
// Notices carry no time of their signature. What they tell may be 15 days old and 10 minutes ahead, by endDate and endTime or else by
// txnTime; anything else is stale. Within that window a replay is as harmless as the bank's own redelivery: it tells the same.
//
// # Refunds
//
// Refund is POST /polypay/v1.0/mchorders/refund and Query is POST /polypay/v1.0/mchorders/refundquery, of JSON, with the headers appid,
// timestamp and apisign.
//
//	returnCode, respCode SUCCESS; S, P, F                    succeeded; processing; failed with F as reason
//	returnCode SUCCESS, respCode FAIL, TRADE_OVERDUE to Refund             failed with the code as reason
//	returnCode SUCCESS, respCode FAIL, CMBORDERID_NOT_EXIST to Query       channel.ErrUnknownNumber, in the first 14 days
//	everything else                                                        an error: unknown
//
// The bank looks back 15 days for a refund; then it denies those that there were. So its denial is believed for 14 days from the
// refund's order, and is unknown afterwards: a person looks into the bank's daily bill. SYSTERM_ERROR, spelled so, and
// SYSTERM_MAINTAINING say that the bank does not know either. NOT_ENOUGH and the MCH_ codes want money and the same number. All of
// them are an AnswerError, and all with returnCode SUCCESS, respCode FAIL but the two SYSTERM_ are beside channel.ErrRefused; NOT_ENOUGH
// and the MCH_ codes speak of the merchant and are beside channel.ErrMerchantRefused.
//
// # Payments
//
// QueryPayment is POST /polypay/v1.0/mchorders/orderquery, with our number as orderId.
//
//	returnCode, respCode SUCCESS; S, R                          channel.EventPaid, as a notice of the payment: R was refunded since
//	                              C, D                          channel.EventClosed
//	                              P, F                          channel.ErrUnpaid: after an attempt that failed the payer may make another
//	returnCode SUCCESS, respCode FAIL, UNPAIED_ORDER            channel.ErrUnpaid
//	                                   ORDERID_INVALID          the same: its time is over, but nobody has closed it
//	                                   CMBORDERID_NOT_EXIST     channel.ErrUnknownNumber, in the first 14 days
//	everything else                                             an error: nothing is known
//
// # Invariants
//
//   - E1 Nothing of a message but its outer fields is read before its signature was verified over them.
//   - E2 The signed text has one reading: a name twice, a name of other characters than letters, digits and _, and an & in any value but
//     biz_content's are refused. biz_content must be one whole JSON object, so no other text can end it elsewhere.
//   - E3 A signature is two numbers in DER of at most 33 bytes each, with zero bytes in front also where DER forbids them: the bank has
//     been seen to write one there, and a reader that insists on DER would refuse up to three of four genuine signatures.
//   - E4 An amount is read from a string of digits alone, without a zero in front: fen. No float, no exponent, no sign.
//   - E5 A reply to a problem has the word SUCCESS in no field, and no status of success.
//   - E6 A refund ends only by an answer whose signature verifies and that repeats our merchant, number and amount: a signature covers
//     neither the question nor the time.
//     An answer about a payment must repeat our merchant and the order's number.
//   - E7 The same end of a refund reads the same in a notice and in every answer (C4 of package channel): it has no time, since the bank
//     does not promise endDate and endTime in each, and a failure has the state as its reason, since only some answers have words.
//   - E8 No key and no secret is printed by any verb of fmt, and no error quotes a key, a body or a content.
//   - E9 No answer is read as a notice: whether what it is about was done, its envelope says and not its content.
//
// # Failures
//
// ReadNotice returns the errors of channel.Port. Reply turns them into 401 (not genuine, stale), 400 (malformed), 403 (not ours) and 503
// (anything else) with returnCode and respCode FAIL, signed; the bank then sends the notice again for about a day. Success is 200 with
// SUCCESS in both, signed.
//
// A refund that failed may be asked for again under its number, and could then succeed: another final answer, which the books record as
// a conflict (C4).
//
// A Channel is immutable and may be used by many goroutines: keys rotate by loading a new one.
package ecny
