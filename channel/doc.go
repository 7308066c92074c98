// Package channel is the port through which a payment channel is asked to pay a refund back and what became of a payment, and a simulated
// channel behind it. Adapters of real channels join as packages below this one.
//
// # The outside world answers "unknown"
//
// A call may have reached the channel although its answer did not arrive. So there are three answers, and an error is never one of
// failure:
//
//	                  ┌─► succeeded ─┐
//	Refund ─► answer ─┼─► failed ────┴─► final: stored as a refund:answer, then the refund:send is applied
//	   ▲              └─► processing or an error ─► unknown: later, Query
//	   │                                                         │
//	   └───────── the channel has never seen the number ◄────────┴─► any answer, as above
//
// # Invariants
//
//   - C1 A channel is called outside any transaction, under the number that the stored refund:send holds (I10).
//   - C2 After an unknown answer the channel is asked with Query before the refund is repeated; it is repeated only when the channel
//     has never seen the number, and only under the same number.
//   - C3 An unknown answer moves nothing: the money stays in the channel's refunding account until the channel says how it ended.
//   - C4 The same final answer gives the same refund:answer request, byte for byte, however often and by whichever worker it was heard.
//     So a second one is a replay; another one conflicts, and is recorded. Only a success after a failure is booked then, as a
//     refund:revise: channels pay by another way what they could not pay at first.
//   - C5 A refusal that is not final, verified and of this refund alone, is an error that wraps ErrRefused: the channel has answered, so it
//     is not left alone, and the refund stays unknown. What says nothing of the refund never wraps it. One of the merchant, which all
//     refunds would get, wraps ErrMerchantRefused.
//
// Two workers may call at the same time for one number. Channels refund a number once: out_refund_no at WeChat Pay, out_request_no
// at Alipay; a repeat is answered with what became of the first. At UnionPay it is orderId with txnTime, and a repeat is refused.
//
// # Payments
//
// A channel tells of a payment by notices, and gives up some time: UnionPay after twelve minutes. QueryPayment asks about an order by its
// number, and reads a payment to what its notice would have said, so that the two are one request. An order that is not paid is asked
// about again later: that it is unpaid, or has never been seen, says nothing of the next minute. Only EventClosed is an end.
//
// # Failures
//
// Timeouts, broken connections and answers that cannot be read are errors of Refund or Query and mean unknown. So are refusals that a
// person may make pass (no balance, a frozen payment), which name the channel's code (C5). A channel that refuses
// for good (a void card, an expired age limit) answers failed with its reason. WeChat Pay's states map as: SUCCESS succeeded;
// PROCESSING processing; CLOSED and ABNORMAL failed, with the state as the reason, because the one needs a new number and the other
// a person. Alipay's code 10000 alone is not an answer: fund_change=Y, or REFUND_SUCCESS of a query, is succeeded.
package channel
