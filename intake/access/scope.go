package access

import (
	"slices"
	"strings"

	"github.com/settled-dev/settled/tasks"
)

// Scope is one thing that a key may do. Scopes are wire values: never renamed, only added to.
type Scope string

// The scopes.
const (
	// PaymentsWrite captures payments.
	PaymentsWrite Scope = "payments:write"
	// RefundsWrite applies refunds.
	RefundsWrite Scope = "refunds:write"
	// RechargesWrite opens recharge orders, and confirms recharges that have none: it credits on its producer's word. Give it to systems
	// that hear from channels themselves.
	RechargesWrite Scope = "recharges:write"
	// RewardsWrite grants rewards.
	RewardsWrite Scope = "rewards:write"
	// TransfersWrite sends money between users.
	TransfersWrite Scope = "transfers:write"
	// WealthWrite enrols users in wealth products, and redeems.
	WealthWrite Scope = "wealth:write"
	// WebhooksWrite makes and changes the webhook endpoints of the key's own producer, and has messages delivered again.
	WebhooksWrite Scope = "webhooks:write"
	// Read looks things up: the requests, recharge orders and webhook endpoints of the key's own producer; and all users and orders, which
	// are the wallet's, whichever producers serve them.
	Read Scope = "read"
	// Admin does all of these, sees the requests of every producer, sees and decides cases, and asks for what is the whole ledger's, such
	// as a sweep.
	Admin Scope = "admin"
)

// Scopes lists every scope.
func Scopes() []Scope {
	return []Scope{PaymentsWrite, RefundsWrite, RechargesWrite, RewardsWrite, TransfersWrite, WealthWrite, WebhooksWrite, Read, Admin}
}

// kindScopes says which scope a producer needs to ask for a kind.
var kindScopes = map[tasks.Kind]Scope{
	tasks.PaymentCapture:  PaymentsWrite,
	tasks.RefundApply:     RefundsWrite,
	tasks.RechargeConfirm: RechargesWrite,
	tasks.RewardGrant:     RewardsWrite,
	tasks.TransferSend:    TransfersWrite,
	tasks.WealthEnrol:     WealthWrite,
	tasks.SweepRun:        Admin,
	tasks.CreditCase:      Admin,
	tasks.ReturnCase:      Admin,
	tasks.CloseCase:       Admin,
}

// ScopeOf is the scope that asking for a kind needs: Admin for a kind that has none of its own.
func ScopeOf(kind tasks.Kind) Scope {
	if scope, ok := kindScopes[kind]; ok {
		return scope
	}
	return Admin
}

// ParseScopes reads the names of scopes, in any order and number, and returns each once in the order of Scopes. It returns a
// *tasks.FieldError for a name that is no scope, or when there is none.
func ParseScopes(names []string) ([]Scope, error) {
	known := Scopes()
	given := make([]bool, len(known))
	allowed := make([]string, len(known))
	for i, scope := range known {
		allowed[i] = string(scope)
	}
	if len(names) == 0 {
		return nil, &tasks.FieldError{Field: "scope", Problem: "is missing", Allowed: strings.Join(allowed, ", ")}
	}
	for _, name := range names {
		place := slices.Index(allowed, name)
		if place < 0 {
			return nil, &tasks.FieldError{Field: "scope", Problem: "has a name that is no scope", Allowed: strings.Join(allowed, ", ")}
		}
		given[place] = true
	}
	var scopes []Scope
	for i, scope := range known {
		if given[i] {
			scopes = append(scopes, scope)
		}
	}
	return scopes, nil
}
