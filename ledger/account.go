package ledger

import (
	"fmt"
	"strings"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// AccountName names an account within a book, such as user/u1/cash. Ids hold no slash, so a name has one reading.
type AccountName string

// AccountKind groups accounts by whose money they show.
type AccountKind string

// The kinds of account.
const (
	UserCashKind         AccountKind = "user_cash"
	UserRewardKind       AccountKind = "user_reward"
	UserWealthKind       AccountKind = "user_wealth"
	MerchantPayableKind  AccountKind = "merchant_payable"
	ChannelClearingKind  AccountKind = "channel_clearing"
	ChannelRefundingKind AccountKind = "channel_refunding"
	ChannelFeesKind      AccountKind = "channel_fees"
	PromotionKind        AccountKind = "promotion"
	SuspenseKind         AccountKind = "suspense"
	WealthAssetsKind     AccountKind = "wealth_assets"
	ReserveCashKind      AccountKind = "reserve_cash"
	InterbookKind        AccountKind = "interbook"
)

// Guarded says that accounts of this kind are users' and can never go below zero.
func (k AccountKind) Guarded() bool {
	return k == UserCashKind || k == UserRewardKind || k == UserWealthKind
}

// UserCash is a user's spendable balance.
func UserCash(userID string) AccountName { return AccountName("user/" + userID + "/cash") }

// UserReward is a user's rewards: spendable, never cash.
func UserReward(userID string) AccountName { return AccountName("user/" + userID + "/reward") }

// UserBucket is the user's account that a balance leg is paid from.
func UserBucket(userID string, source tasks.Source) AccountName {
	return AccountName("user/" + userID + "/" + string(source))
}

// UserWealth is what a user holds of a wealth product.
func UserWealth(userID, productID string) AccountName {
	return AccountName("user/" + userID + "/wealth/" + productID)
}

// MerchantPayable is what a merchant is owed for captured orders. It may go below zero: a refund after settlement makes the
// merchant owe, and the user does not wait for that.
func MerchantPayable(merchantID string) AccountName {
	return AccountName("merchant/" + merchantID + "/payable")
}

// ChannelClearing is what a channel has received for the wallet and not yet paid out.
func ChannelClearing(channel tasks.Source) AccountName {
	return AccountName("channel/" + channel + "/clearing")
}

// ChannelRefunding is what a channel was asked to pay back and has not answered.
func ChannelRefunding(channel tasks.Source) AccountName {
	return AccountName("channel/" + channel + "/refunding")
}

// Suspense is what a channel has received that no recharge order explains. A person decides whose it is.
func Suspense(channel tasks.Source) AccountName { return AccountName("suspense/" + channel) }

// Promotion is what a campaign has given away.
func Promotion(campaignID string) AccountName { return AccountName("promotion/" + campaignID) }

// Interbook is what this book and book n owe each other.
func Interbook(n int) AccountName { return AccountName(fmt.Sprintf("interbook/%d", n)) }

// Channel is the channel whose account it is; empty of an account that is no channel's.
func (n AccountName) Channel() tasks.Source {
	prefix, rest, _ := strings.Cut(string(n), "/")
	channel, _, _ := strings.Cut(rest, "/")
	if prefix != "channel" && prefix != "suspense" {
		return ""
	}
	return tasks.Source(channel)
}

// Kind reads the kind from the name. It panics for a name that is of no kind, a programmer's error; it does not check that a
// constructor made the name.
func (n AccountName) Kind() AccountKind {
	prefix, rest, _ := strings.Cut(string(n), "/")
	_, last, _ := strings.Cut(rest, "/")
	switch {
	case prefix == "user" && last == "cash":
		return UserCashKind
	case prefix == "user" && last == "reward":
		return UserRewardKind
	case prefix == "user" && strings.HasPrefix(last, "wealth/"):
		return UserWealthKind
	case prefix == "merchant" && last == "payable":
		return MerchantPayableKind
	case prefix == "channel" && last == "clearing":
		return ChannelClearingKind
	case prefix == "channel" && last == "refunding":
		return ChannelRefundingKind
	case prefix == "channel" && last == "fees":
		return ChannelFeesKind
	case prefix == "promotion":
		return PromotionKind
	case prefix == "suspense":
		return SuspenseKind
	case prefix == "wealth" && last == "assets":
		return WealthAssetsKind
	case n == "reserve/cash":
		return ReserveCashKind
	case prefix == "interbook":
		return InterbookKind
	}
	panic("no account is named " + string(n))
}

// Account is one account in a batch's working set, as the requests decided so far have left it. Rules read it and name it in
// transfers; only the ledger changes it.
type Account struct {
	name    AccountName
	kind    AccountKind
	id      int64 // 0: not opened yet
	opened  bool  // by a decision of this batch
	balance int64 // fen; unguarded accounts start from zero
	held    int64
	version int64
	stored  int64 // the version in the database
	changed int64 // fen; by the requests of this batch
}

// Name is the account's name.
func (a *Account) Name() AccountName { return a.name }

// Exists says whether the account was opened. Only guarded accounts know.
func (a *Account) Exists() bool { return a.id != 0 || a.opened || a.version > a.stored }

// Balance is what the account holds. Only guarded accounts know.
func (a *Account) Balance() money.Amount { return money.FromFen(a.balance) }

// Available is what can be taken from the account: its balance less its holds.
func (a *Account) Available() money.Amount { return money.FromFen(a.balance - a.held) }

func (a *Account) guarded() bool { return a.kind.Guarded() }

// credit changes the balance; amount is negative for a debit. Guarded accounts count versions.
func (a *Account) credit(fen int64) {
	a.balance += fen
	a.changed += fen
	if a.guarded() {
		a.version++
	}
}

// uncredit takes the last credit of fen back.
func (a *Account) uncredit(fen int64) {
	a.balance -= fen
	a.changed -= fen
	if a.guarded() {
		a.version--
	}
}
