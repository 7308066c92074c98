// Package wallet holds the rules of a user's balance: what fills it, what spends it, and what moves it to another user. They are
// pure: the ledger locks and reads the rows, a rule decides over them, the ledger writes.
//
// # Rules
//
// Users have two buckets, cash and reward. Neither can be cashed out; reward is spendable and never becomes cash.
//
//	recharge:confirm   channel clearing -> user cash
//	recharge:suspend   channel clearing -> suspense, and a case for a person
//	reward:grant       promotion -> user reward
//	payment:capture    user reward | user cash | channel clearing -> merchant payable, once per leg
//	transfer:send      user cash -> user cash, or user cash -> interbook/<n> and a transfer:receive in book n
//	transfer:receive   interbook/<n> -> user cash
//	case:credit        suspense | channel refunding -> user cash, or -> interbook/<n> and a transfer:receive in book n; the case is closed
//	case:return        suspense -> channel refunding, and a refund:send; of a failed refund the refund:send alone; the case is closed
//	case:close         suspense | channel refunding -> channel clearing, as a person states; the case is closed
//
// # Invariants
//
//   - W1 A payment of a channel funds one recharge or one payment leg of the whole ledger, or is suspended, whatever its producers call
//     it. It never does two of these.
//   - W2 A user's account opens with its first credit; a debit from a user who has no account is refused.
//   - W3 A payment is captured as a whole or not at all: every leg, or none.
//   - W4 The balance never pays a line whose kind the policy excludes from it, neither in sum nor in the allocation of the line.
//   - W5 What the legs paid of the lines adds up exactly: each line's parts to what was paid for the line, each leg's parts to the leg.
//   - W6 A transfer between two books is one debit here and one credit there. The credit is a follow-up request, stored in the
//     transaction of the debit, so that it cannot be lost; it has no rule to refuse it.
//   - W7 A case has one way out. It is closed in the transaction that moves its money, all of it, and by nothing else; what would be a
//     second way out is refused; a refund that is sent again stays where it is, and a refund's money is credited to its order's user
//     alone. Each is asked for under the case's id, so that asking again is a replay.
//   - W8 What a user sends to others on one business date is within the policy's limits of a day, in amount and in number, and a transfer that
//     fits is not refused for them. One of exactly what is left fits. What a user receives is not limited; a case:credit is no transfer of
//     a user's and does not count.
//
// # Allocation of an order's lines
//
// The money that legs paid is given to lines once, at capture, and stored: a refund of a line reverses it, and no rounding is ever
// repeated. Coupons lower every other line in proportion to its price, by largest remainder. What is left of a line is allocated to
// the legs in proportion to what they paid; lines that exclude the balance are allocated to the channels' legs alone, before the
// others. See lines.go for how rows and columns both stay exact.
//
// # Failures
//
// A payment into the balance that no recharge order explains (unknown, closed or expired, of another amount or channel, or paid already)
// is never credited and never dropped: it stands in suspense until a person gives it back or credits it. A payment that its channel does not take back stands in suspense
// again, under a case of its own: see package refund.
//
// A refused payment that has a channel leg leaves the channel's money where it is, outside the books: who captured it at the channel
// gives it back there. A transfer whose second half has not been applied stands in an interbook account until it is. A merchant that
// takes no balance, a line that excludes it, and too little money are refusals: final, stored, and nothing moved.
//
// A transfer is refused for the first of these that is so: its sender has no account, too little money, nothing left of the date's limits.
// Refused, it stays so; asked under another key on the next date it may fit. The date is that of the event's time. A producer who backdates is
// trusted, and counts on the earlier date; times more than a day ahead are refused before they are stored (tasks.Client). A policy that is
// lowered during a day takes nothing back.
//
// # Sources
//
// The default limit of a day is that of the People's Bank of China for payments by balance: see tasks.DefaultPolicy.
//
// WeChat Pay's refund guide rounds each partial refund of a coupon order half up (9 * 7/10 = 6.3); repeated, that drifts from what was
// paid, which is why the allocation is made once and stored. Exports of JD's wallet show refunds going back to the method that paid
// (收/付款方式), one row per item, so lines are what people refund.
package wallet
