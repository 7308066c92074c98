// Package wechatsim is WeChat Pay's side of the wire, for tests, demos and drills: it makes keys for itself and for a merchant, signs
// and encrypts notices, and serves the interfaces of refunds and the query of an order. The formats are those of package wechat, whose doc.go names the
// sources; they are written down here a second time, so that neither side hides a mistake of the other.
//
// # Keys
//
// WeChat Pay signs with a platform certificate or, for merchants that have changed over, with a public key; SignWith switches, and a
// merchant that loads MerchantSettings has both. An answer is signed with the key that the request's Wechatpay-Serial names, if
// it is one of them. Rotate makes new keys of either kind: settings written before do not have them, settings written after have old and
// new. Keys gives all of them out to be kept, and Restore makes the same channel of them.
//
// # Answers
//
//	what the desk says                      status and code
//	nothing yet, done, failed               200; PROCESSING, SUCCESS, CLOSED (if that is the reason) or ABNORMAL
//	simulate.ErrUnknownPayment              404 RESOURCE_NOT_EXISTS
//	simulate.ErrTooMuch, ErrNumberTaken     400 INVALID_REQUEST
//	no such refund                          404 RESOURCE_NOT_EXISTS
//	an order that is paid                   200 SUCCESS, or REFUND once something of it was refunded
//	an order that is not paid, or closed    200 NOTPAY, CLOSED
//	no such order                           404 ORDER_NOT_EXIST
//	anything else                           500 SYSTEM_ERROR
//
// Before the desk is asked: a wrong or old Authorization is 401 SIGN_ERROR, the one answer without a signature; a request that cannot be
// read is 400 PARAM_ERROR; a total that is not the payment's, or a payment more than 365 days old, is 400 INVALID_REQUEST. The limits of 50
// partial refunds and of a minute between them are not imitated.
//
// # Invariants
//
//   - The merchant's package reads every notice that is made here to an equal channel.Notice, with times of whole seconds, with a
//     failed refund's reason CLOSED or ABNORMAL, and without the time of its end.
//   - A drop leaves the merchant without a byte of the answer after the desk has taken the refund.
package wechatsim
