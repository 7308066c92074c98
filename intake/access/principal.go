package access

import (
	"context"
	"slices"
	"time"
)

// Principal is who asks: the proven key of a producer. The zero Principal may do nothing.
type Principal struct {
	KeyID    string
	Producer string
	Scopes   []Scope

	guard     *Guard
	allowance *allowance
}

// May says whether the principal has a scope, by itself or through Admin.
func (p Principal) May(scope Scope) bool {
	return slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, Admin)
}

// MaySee says whether the principal may look a request up that this producer asked for first. What it may not see is to be answered
// as what is not there.
func (p Principal) MaySee(producer string) bool {
	return p.May(Admin) || p.May(Read) && p.Producer != "" && p.Producer == producer
}

// SeesOnly is the one producer whose requests the principal may look up; empty when it may look up every producer's.
func (p Principal) SeesOnly() string {
	switch {
	case p.May(Admin):
		return ""
	case p.Producer == "":
		return nobody
	default:
		return p.Producer
	}
}

// nobody is no producer's name: an id holds no slash.
const nobody = "/"

// Owns says whether a stored request is the principal's own, or everybody's are: whether an answer to a replay or conflict may tell
// what is stored.
func (p Principal) Owns(producer string) bool {
	return p.May(Admin) || p.Producer != "" && p.Producer == producer
}

// TryCharge does as Charge does, and says how long it will be until it can: zero when it is done.
func (p Principal) TryCharge(items int) (wait time.Duration) {
	if p.guard == nil || items <= 0 {
		return 0
	}
	return p.allowance.take(p.guard.clock.Now(), items)
}

// Charge counts more items of a call against the key's rate; Admit has counted the first. A call with n items charges n-1, before
// anything of them is stored. It returns a *Refusal when the key has asked for too much.
func (p Principal) Charge(items int) error {
	if wait := p.TryCharge(items); wait > 0 {
		p.guard.refused.WithLabelValues(string(ReasonRate)).Inc()
		return &Refusal{Reason: ReasonRate, RetryAfter: wait}
	}
	return nil
}

type principalKey struct{}

// WithPrincipal returns a context in which PrincipalOf finds p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf is who asks in this context: the zero Principal, which may do nothing, when nobody was let in.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
