// Package alipay is the merchant's side of Alipay's open platform, for a merchant that is its own app: it reads the notices that Alipay
// sends, asks it for refunds, and asks it what became of payments. It needs nothing but the standard library.
//
// # Notices
//
// A notice is a POST of a form. Its sign is RSA PKCS #1 v1.5 with SHA-256 ("RSA2") over all other fields but sign_type and
// alipay_cert_sn: names and url-decoded values, sorted by name, as name=value joined with &. Empty values are part of it. The bytes
// are those of the field charset, UTF-8 or GBK, so they are verified as they came and never converted: what is read is ASCII in both.
//
//	form ─► RSA2 ─► signature, by alipay_cert_sn or any key that is valid now ─► one reading ─► notify_time of the last 26 h
//	                                                                                                  │
//	notice ◄─ by the table ◄─ yuan of two places, Shanghai times ◄─ our app and seller ◄─ charset ◄───┘
//
//	trade_status                     refund fields    event
//	TRADE_SUCCESS, TRADE_FINISHED    none             channel.EventPaid, at gmt_payment
//	TRADE_SUCCESS                    all              channel.EventRefund, succeeded: a part
//	TRADE_CLOSED                     all              channel.EventRefund, succeeded: all, or the rest
//	TRADE_CLOSED                     none             channel.EventClosed, at gmt_close
//	TRADE_FINISHED                   all              channel.EventOther: the time for refunds is over, the fields repeat the last one
//	WAIT_BUYER_PAY                   none             channel.EventOther
//	anything else                                     refused: money may have moved that nobody would look at
//
// The refund fields are gmt_refund, out_biz_no (our number) and refund_fee; a payment's notice may have an empty or zero refund_fee. Some
// of them without the others are refused. A notify_type other than trade_status_sync is channel.EventOther.
//
// refund_fee is what was refunded of the payment in all, so it becomes Notice.RefundedTotal and never an Amount. Alipay sends no
// notice of a refund that failed.
//
// What tells where the money landed is not read: fund_bill_list, and dback_status with its amount and time. A card's bank that refuses a
// refund (dback_status F) makes it no failure, because Alipay then pays it to the buyer's balance. passback_params is in the form that the
// merchant gave, which must be url-encoded: in plain words with & and = it is refused by A3, and the payment is learnt by QueryPayment.
//
// # Refunds
//
// Refund is alipay.trade.refund and Query is alipay.trade.fastpay.refund.query, with our number as out_request_no. Requests are signed
// with the app's key. Answers are JSON, and their sign covers the text of the node named after the method, byte for byte.
//
//	Refund   10000, fund_change Y             succeeded
//	         10000, fund_change N or none     processing: it was made before, or is not made yet; a query tells
//	         ACQ.TRADE_HAS_FINISHED           failed with the code as reason
//	Query    10000, REFUND_SUCCESS            succeeded
//	         10000, no refund_status          channel.ErrUnknownNumber
//	         ACQ.TRADE_NOT_EXIST              channel.ErrUnknownNumber
//	everything else                           an error: unknown
//
// ACQ.TRADE_HAS_FINISHED says that the time for refunds is over: the one refusal that no later try under the same number can change and
// that a refund of our own cannot bring about. The others pass, or a person makes them pass (ACQ.SELLER_BALANCE_NOT_ENOUGH wants a top-up,
// ACQ.REASON_TRADE_BEEN_FREEZEN a call to Alipay, ACQ.SYSTEM_ERROR the same again), or they may be heard because this very refund is
// being made (ACQ.REFUND_AMT_NOT_EQUAL_TOTAL, ACQ.TRADE_HAS_CLOSE, ACQ.TRADE_STATUS_ERROR), or they are a fault of the request
// (ACQ.DISCORDANT_REPEAT_REQUEST, ACQ.INVALID_PARAMETER). All of them are an AnswerError, which a person can read. Signed, and of the code
// 40004 but for a SYSTEM_ERROR, it is beside channel.ErrRefused; ACQ.SELLER_BALANCE_NOT_ENOUGH and ACQ.ACCESS_FORBIDDEN speak of the
// merchant and are beside channel.ErrMerchantRefused.
//
// A query without refund_status means that the refund did not arrive or was not made, and Alipay asks for it to be sent again under
// its number and with its amount, which it pays once. That is what channel.ErrUnknownNumber leads to. A query in the first ten
// seconds may say so of a refund that is just being made, which is the same and as harmless.
//
// # Payments
//
// QueryPayment is alipay.trade.query with our number as out_trade_no.
//
//	TRADE_SUCCESS, TRADE_FINISHED         channel.EventPaid at send_pay_date, which is a notice's gmt_payment, in Shanghai too
//	TRADE_CLOSED with send_pay_date       the same: it was paid, and refunded as a whole since
//	TRADE_CLOSED without it               channel.EventClosed
//	WAIT_BUYER_PAY                        channel.ErrUnpaid
//	ACQ.TRADE_NOT_EXIST                   channel.ErrUnknownNumber: also while the payer has not yet come as far as to be asked
//	everything else                       an error: nothing is known
//
// # Invariants
//
//   - A1 Of a message that is not verified, only sign_type, sign and alipay_cert_sn are looked at.
//   - A2 A message is genuine over the values that arrived, all of them, empty ones too. One whose signature fits without its empty
//     values is refused and marked with channel.ErrOtherRule: then Alipay's rule is another than the documented one.
//   - A3 A signed text is read in one way. Values may contain & and =, so the text alone does not say where a value ends. A value with
//     another &name= inside, a name twice, or a name of other characters is refused.
//   - A4 TRADE_SUCCESS is a payment only without any refund field.
//   - A5 An amount is a text of digits, a point and two digits. No sign, no exponent, no spaces, no leading zero.
//   - A6 A refund ends only by an answer whose signature verifies. A signature does not cover the request, so a query's answer must
//     repeat our number, payment and amount. That of a refund has no number: it must repeat our payment, with a total of at least our
//     amount. Code 10000 by itself says nothing.
//   - A7 The same end of a refund reads the same in a notice, in an answer and in every query (C4 of package channel). They tell different
//     times (gmt_refund with milliseconds, gmt_refund_pay on request only), so an end carries none; a notice has gmt_refund as its own.
//   - A8 No key is printed by any verb of fmt, and no error quotes a key, a body or a value that was not checked.
//   - A9 A payment is read only from an answer whose signature verifies and that repeats our order's number. The answer names neither app
//     nor seller (where it does, they must be ours): that it is ours follows from the number, which no other merchant has, because it is
//     random, and which Alipay looks up among the trades of the app that asks.
//
// # Failures
//
// ReadNotice returns the errors of channel.Port but ErrProbe: Alipay sends no probes. The reply to a notice that is done has the body
// success, of seven bytes, and the status 200. Any problem is answered with fail and 401 (not genuine, stale), 400 (malformed), 403 (not
// ours) or 503; Alipay then sends the notice again, seven times in 25 hours. It has no header with a time: notify_time is what bounds
// replays, and whoever stores what a notice says makes them harmless.
//
// # Sources
//
// The documentation of opendocs.alipay.com: asynchronous notices with their fields and deliveries (open/203/105286), verification
// of notices and answers (common/02mse7), alipay.trade.refund with its codes ("refund_fee: the total refunded", "fund_change=Y is
// success, code=10000 is not") and alipay.trade.fastpay.refund.query ("no refund_status: the refund was not received, or failed"),
// alipay.trade.query ("TRADE_CLOSED: closed unpaid after its time, or refunded as a whole after the payment"; genuine answers of either, in
// the tests of public clients, differ in send_pay_date);
// AlipaySignature.rsaCheckV1 and getSignCheckContentV1 of the official SDK for Java, which keep empty values; and
// github.com/smartwalle/alipay/v3 v3.2.30, with which the tests compare this package. Alipay's own limits (the time for refunds by
// contract, three seconds between the refunds of a trade) are for Alipay to check; they surface as an AnswerError.
//
// A Channel is immutable and may be used by many goroutines: keys rotate by loading a new one.
package alipay
