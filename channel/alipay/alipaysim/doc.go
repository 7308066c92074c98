// Package alipaysim is Alipay's side of the wire, for tests, demos and drills: it makes keys for itself and for a merchant's app, signs
// notices, and serves the gateway's refunds and its query of a trade. The formats are those of package alipay, whose doc.go names the sources; they are
// written down here a second time, so that neither side hides a mistake of the other.
//
// # Keys
//
// Alipay signs with a bare public key's private half or, for apps with certificates, with a certificate's; SignWith switches, and an app
// that loads MerchantSettings has both. Messages by a certificate name it in alipay_cert_sn. Rotate makes new keys of either kind: settings
// written before do not have them, settings written after have old and new.
//
// # Answers
//
//	what the desk says                      answer
//	done                                    10000, fund_change Y to the request that did it and N to its repeats
//	nothing yet                             10000, fund_change N
//	failed                                  40004 ACQ.TRADE_HAS_FINISHED, the refusal that package alipay takes as an end
//	simulate.ErrUnknownPayment              40004 ACQ.TRADE_NOT_EXIST
//	simulate.ErrTooMuch                     40004 ACQ.REFUND_AMT_NOT_EQUAL_TOTAL
//	simulate.ErrNumberTaken                 40004 ACQ.DISCORDANT_REPEAT_REQUEST
//	anything else                           40004 ACQ.SYSTEM_ERROR
//
// A query of a trade is 10000 with TRADE_SUCCESS, WAIT_BUYER_PAY or TRADE_CLOSED, with send_pay_date if it was ever paid, or 40004
// ACQ.TRADE_NOT_EXIST. A query of a refund that is done is 10000 with REFUND_SUCCESS; of any other, 10000 without a refund_status. Before the desk is asked:
// another app, signature or time is 40002, the one answer without a signature; a content that cannot be read is 40004
// ACQ.INVALID_PARAMETER; a new refund of a payment more than 365 days old is 40004 ACQ.TRADE_HAS_FINISHED. The seconds that must lie
// between two refunds of a trade are not imitated.
//
// # Invariants
//
//   - The merchant's package reads every notice that is made here to an equal channel.Notice, with times of whole milliseconds
//     of a refund and of whole seconds else, and with RefundedTotal in the place of a refund's Amount.
//   - A refund_fee is what was refunded of the payment in all, in notices and in answers, as the desk tells it.
//   - A drop leaves the merchant without a byte of the answer after the desk has taken the refund.
package alipaysim
