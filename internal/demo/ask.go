package demo

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Fate is what must become of a request.
type Fate string

// The fates. They are the words that the books use.
const (
	FateApplied  Fate = "applied"
	FateRejected Fate = "rejected"
	FateParked   Fate = "parked"
)

// Ask is one request of a plan, with what must become of it.
type Ask struct {
	Payload tasks.Payload
	Key     string
	Fate    Fate
	Reason  tasks.Reason // of a rejection
	Contest *Contest     // when only some of several asks can be applied; Fate is then FateApplied
	Effects []Effect     // of its being applied, by itself and by what follows from it
	Moves   Moves        // its own transfers, when it is applied
	// RechargeOrder is of a recharge that its user pays at a channel, whose notice then asks for it. nil: a producer asks.
	RechargeOrder *tasks.RechargeOrder
}

// Contest is a number of asks with the same effects that compete for the same money.
type Contest struct {
	Name   string
	Wins   int          // how many can be applied; the others are rejected
	Reason tasks.Reason // of those
}

// Effect adds fen to what somebody holds.
type Effect struct {
	Holder string
	Fen    int64
}

// Moves are how many transfers there are and what they move together, in fen.
type Moves struct {
	Transfers int
	Fen       int64
}

// The holders that are not simply accounts. What a channel holds and what it was asked to pay back count together: when the channel
// answers is its own business.

func channelHolder(channel tasks.Source) string { return "channel/" + string(channel) }

func refundedOf(orderID string) string { return "order/" + orderID + "/refunded" }

func cashOf(userID string) string { return string(ledger.UserCash(userID)) }

func rewardOf(userID string) string { return string(ledger.UserReward(userID)) }

func wealthOf(userID, productID string) string { return string(ledger.UserWealth(userID, productID)) }

func payableOf(merchantID string) string { return string(ledger.MerchantPayable(merchantID)) }

func suspenseOf(channel tasks.Source) string { return string(ledger.Suspense(channel)) }

func promotionOf(campaignID string) string { return string(ledger.Promotion(campaignID)) }

// holderOf is who pays or is paid back a leg.
func holderOf(userID string, source tasks.Source) string {
	switch source {
	case tasks.SourceCash:
		return cashOf(userID)
	case tasks.SourceReward:
		return rewardOf(userID)
	default:
		return channelHolder(source)
	}
}

// move takes fen from one holder and gives it to another. Nothing is not moved.
func (a *Ask) move(from, to string, fen int64) {
	if fen == 0 {
		return
	}
	a.Effects = append(a.Effects, Effect{from, -fen}, Effect{to, fen})
	a.Moves.Transfers++
	a.Moves.Fen += fen
}

// note counts fen for a holder that is no account.
func (a *Ask) note(holder string, fen int64) {
	a.Effects = append(a.Effects, Effect{holder, fen})
}

// rejected makes the ask one that must be refused.
func (a *Ask) rejected(reason tasks.Reason) *Ask {
	a.Fate, a.Reason, a.Effects, a.Moves = FateRejected, reason, nil, Moves{}
	return a
}

// parked makes the ask one that waits for ever.
func (a *Ask) parked() *Ask {
	a.Fate, a.Effects, a.Moves = FateParked, nil, Moves{}
	return a
}

func (a *Ask) name() requestName { return requestName{a.Payload.Kind(), a.Key} }

// requestName is what producers know a request by.
type requestName struct {
	Kind tasks.Kind
	Key  string
}

func (n requestName) String() string { return fmt.Sprintf("%s %s", n.Kind, n.Key) }
