// Package refund holds the rules that give back what an order paid: how a refund is split over the order's legs, where each part
// goes, and what a channel's answer means for the books.
//
// # States
//
// A part that goes to a bucket of the balance is done when its refund is applied. A part that goes to a channel takes three requests,
// and a fourth when the channel takes back that it failed:
//
//	refund:apply   merchant payable -> channel refunding; stores a refund:send with the number for the channel.
//	               Beyond the channel's limits (policy, refund_limits) it is not asked: with consent (if_refused) the part goes to the
//	               user's cash, without it the money stands in refunding and a person is asked
//	refund:send    the channel is called, outside any transaction; moves nothing
//	refund:answer  succeeded: channel refunding -> channel clearing
//	               failed, with consent: channel refunding -> user cash
//	               failed, without: the money stays in refunding, and a person is asked
//	               failed, of a payment that stood in suspense: channel refunding -> suspense, and a person is asked
//	refund:revise  the channel had answered failed, and has paid: channel refunding -> channel clearing, as if it had answered so.
//	               While the case of the failure is open it is over, and the money is taken from where it stands. With consent, or
//	               when a person has paid it in another way, it was paid twice: refunding stands at minus the amount, and a person
//	               is asked. When a person has stated that the channel had paid it, nothing moves
//
// A refund that comes before its payment is parked, and wakes when the payment is captured. A revision that comes before its answer is
// decided is parked, and wakes when it is.
//
// # Invariants
//
//   - R1 For each leg 0 <= refunded <= captured, and for each order too (I6). Any amount up to what remains is accepted, and a refund
//     of exactly what remains empties every leg.
//   - R2 The parts of a refund add up to its amount, to the fen.
//   - R3 Money returns to the bucket it came from: reward never becomes cash, wherever the refund is told to go.
//   - R4 A line gives back at most what was paid for it. A refund of a line reverses the line's allocation: its legs in proportion to
//     what each still holds of the line.
//   - R5 A refund number is made from the refund and the leg, is stored before the channel is called (I10), and never changes.
//   - R6 The order says whose money it is. A refund that names another user is refused, in whichever book that user lives.
//   - R7 A success moves a number's money to clearing once: as its answer, or as the revision of an answer that was a failure of the
//     same amount, or by a person's statement between them. So the accounts end the same in whatever order a channel says that it has
//     failed and that it has paid, unless the money had been paid in another way in between. All numbers under which a leg was sent again
//     are of the same money: the first that is paid takes it, each further one is paid twice (docs/adr/0027).
//
// # Splits
//
// A refund that names no lines is split by the policy in force when it is applied: in proportion to what remains on each leg (the
// default), channels before balance, or balance before channels; within a group always in proportion. It is not counted against any
// line, and it can take money that a line was allocated. When the line is refunded later, and a leg of it holds less than the line's
// part, the rest comes from the line's other legs, then from the order's: what an order still holds can always be refunded, by its
// lines or without.
//
// # Failures
//
// Amounts above what remains, lines that the order does not have, and orders of other users are refusals: final, and nothing moves.
// No answer of a channel is not a failure: see package channel. A refund number has one answer. A second one with another content
// conflicts at acceptance and is recorded there. It moves nothing, except that a success after a failure is accepted as a revision; a
// failure after a success, or another amount, is for a person.
//
// Shipping is a line like any other, refunded by name or in proportion: an amount without lines belongs to none. A coupon was allocated no
// money, so none comes back for it, expired or not; the order system gives coupons back.
//
// # Sources
//
// Limits and states of the channels: WeChat Pay APIv3 refunds (PROCESSING, SUCCESS, CLOSED, ABNORMAL; out_refund_no of up to 64
// characters refunds once), Alipay alipay.trade.refund (out_request_no unique per trade; fund_change says whether money moved),
// UnionPay ACP (orderId of 8 to 32 letters and digits). Splits: WeChat Pay returns coupon orders in proportion, Alipay the buyer's
// own money before coupons; so the split is a setting. Reward returned as reward, and consent before a card's money becomes balance
// that cannot be cashed out, are the wallet's own rules.
package refund
