// Package wechat is the merchant's side of WeChat Pay, APIv3, for a merchant that is its own ("direct"): it reads the notices that
// WeChat Pay sends, asks it for refunds, and asks it what became of payments. It needs nothing but the standard library.
//
// # Notices
//
// A notice is a POST of JSON with the headers Wechatpay-Timestamp, -Nonce, -Serial, -Signature and, sometimes, -Signature-Type. The
// signature is RSA PKCS #1 v1.5 with SHA-256 over the timestamp, the nonce and the raw body, each followed by a newline. The serial
// names the key: a platform certificate by its serial number, or a public key by its id, PUB_KEY_ID_ and digits. A merchant that changes
// from one to the other gets notices signed by either, so both are looked up in one table. What the notice tells is encrypted in its
// resource with the merchant's APIv3 key, AEAD_AES_256_GCM.
//
//	header ─► one value each ─► not a probe ─► key by serial, valid now ─► signature ─► window of 300 s
//	                                                                                      │
//	notice ◄─ ours, CNY, whole positive fen ◄─ strict JSON ◄─ decrypt ◄─ strict JSON ◄────┘
//
//	TRANSACTION.SUCCESS with trade_state SUCCESS     channel.EventPaid
//	REFUND.SUCCESS                                   channel.EventRefund, succeeded, ended at success_time; see W8
//	REFUND.CLOSED, REFUND.ABNORMAL                   channel.EventRefund, failed with the state as reason
//	anything else                                    channel.EventOther: only its id and create_time are read
//
// # Refunds
//
// Refund is POST /v3/refund/domestic/refunds and Query is GET of the same path and our number. Requests carry an Authorization of
// scheme WECHATPAY2-SHA256-RSA2048 made with the merchant's key; answers are signed as notices are.
//
//	status                 answer
//	SUCCESS                succeeded, ended at success_time; failed with ABNORMAL as reason when the merchant received it (W8)
//	PROCESSING             processing
//	CLOSED, ABNORMAL       failed with the state as reason, no time
//	403 USER_ACCOUNT_ABNORMAL to Refund, signed      failed with the code as reason
//	404 RESOURCE_NOT_EXISTS to Query                 channel.ErrUnknownNumber
//	everything else        an error: unknown
//
// USER_ACCOUNT_ABNORMAL is the one refusal that is documented as the end of a refund and that no later try under the same number can
// change. NOT_ENOUGH wants a top-up and the same number; INVALID_REQUEST, NO_AUTH and PARAM_ERROR cover causes that pass and causes that
// stay; RESOURCE_NOT_EXISTS of a payment has been seen to pass. All of them are an AnswerError, which a person can read. Signed, and of a
// status of 4xx but 401 and 429, it is beside channel.ErrRefused; NOT_ENOUGH, NO_AUTH and MCH_NOT_EXISTS speak of the merchant and are
// beside channel.ErrMerchantRefused.
//
// # Payments
//
// QueryPayment is GET /v3/pay/transactions/out-trade-no/{our number}?mchid={ours}, signed and answered as a query of a refund.
//
//	trade_state                    answer
//	SUCCESS, REFUND                channel.EventPaid, as a notice of the payment: REFUND is paid, and refunded in part or whole since
//	CLOSED, REVOKED                channel.EventClosed
//	NOTPAY, USERPAYING, ACCEPT     channel.ErrUnpaid
//	PAYERROR                       the same: a payer whose attempt has failed may make another
//	404 ORDER_NOT_EXIST            channel.ErrUnknownNumber
//	everything else                an error: nothing is known
//
// # Invariants
//
//   - W1 Nothing of a message is parsed before its signature was verified over the bytes that arrived.
//   - W2 A message of which any byte of the body or of a signed or looked-up header differs from what was signed is refused.
//   - W3 An amount is read from a JSON number of digits alone. No float, no exponent, no sign.
//   - W4 JSON with a repeated key, with more after its end, or with invalid UTF-8 is refused; names are compared exactly. Package
//     strictjson reads it.
//   - W5 A refund ends only by an answer whose signature verifies. A signature does not cover the request, so an answer of status 200
//     must also repeat our number, payment and amount: a genuine answer about another refund is not taken for this one's. One about a
//     payment must repeat the order's number, and our merchant and app.
//   - W6 The same end of a refund, and the same payment, reads the same in a notice and in every query (C4 of package channel): times are
//     in UTC, and a failure carries none, because only a notice would have one.
//   - W7 No key is printed by any verb of fmt, and no error quotes a key, a body or a plaintext.
//   - W8 A refund has succeeded when the user has the money. user_received_account of a merchant's account (商户基本账户, 商户结算银行账户)
//     says that WeChat Pay could not pay the user and that the merchant has taken the money back (apply-abnormal-refund with
//     MERCHANT_BANK_CARD): that is the failure that ABNORMAL was, told again.
//
// # Failures
//
// ReadNotice returns the errors of channel.Port. Reply turns them into 401 (not genuine, probe, stale), 400 (malformed), 403 (not
// ours) and 503 (anything else) with a code FAIL; WeChat Pay then sends the notice again for about a day. Success is 204. The status
// decides, the body does not.
//
// An answer to Query that says RESOURCE_NOT_EXISTS is believed without a signature, since the gateway does not sign all of its
// errors: it leads to the refund being asked for under the same number, which WeChat Pay pays once. So is one to QueryPayment that says
// ORDER_NOT_EXIST: it leads to nothing but another question. With a signature that does not verify it is unknown, as any other.
//
// A refund that was ABNORMAL can end as SUCCESS after a person sent it to another card of the user's with apply-abnormal-refund: another
// final answer, which the books record as a conflict and book as a revision of the first one (C4).
//
// # Sources
//
// The merchant documentation of pay.weixin.qq.com: docs/merchant/development/interface-rules (signatures of requests and answers),
// doc/v3/merchant/4016241880 (signature probes), 4012082022 (notice of a refund), 4012587971 (refund, with its codes),
// doc/v3/partner/4012760530 (query), 4013070356 (query of a payment); and the official SDK github.com/wechatpay-apiv3/wechatpay-go v0.2.21, with which the tests
// compare this package. WeChat Pay's own limits (365 days, 50 partial refunds of a payment and a minute between them) are for WeChat
// Pay to check; they surface as an AnswerError, or, of what is too often (429 FREQUENCY_LIMITED), as an unknown outcome that is asked about
// again under its number.
//
// A Channel is immutable and may be used by many goroutines: keys rotate by loading a new one.
package wechat
