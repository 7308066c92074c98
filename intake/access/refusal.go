package access

import (
	"fmt"
	"time"
)

// Reason says why a call was refused: a closed set, which labels a metric.
type Reason string

// The reasons.
const (
	// ReasonMissing: the call names no key.
	ReasonMissing Reason = "missing"
	// ReasonMalformed: what it names cannot be a key.
	ReasonMalformed Reason = "malformed"
	// ReasonUnknown: there is no such key, or its secret is another one; which of them is not told.
	ReasonUnknown Reason = "unknown"
	// ReasonRevoked: the key is proven, and revoked.
	ReasonRevoked Reason = "revoked"
	// ReasonScope: the key may not do this.
	ReasonScope Reason = "scope"
	// ReasonRate: the key asks for too much at once.
	ReasonRate Reason = "rate"
)

func reasons() []Reason {
	return []Reason{ReasonMissing, ReasonMalformed, ReasonUnknown, ReasonRevoked, ReasonScope, ReasonRate}
}

// Refusal says that a call may not be made, through a fault of the caller's. It never holds any part of a secret.
type Refusal struct {
	Reason Reason
	// Needed is the scope that the call needs, of a ReasonScope.
	Needed Scope
	// RetryAfter is when the call would be let through, of a ReasonRate: above zero.
	RetryAfter time.Duration
}

// Error implements error.
func (r *Refusal) Error() string {
	const form = "Authorization: Bearer sk_<16 hex digits>_<43 characters>"
	switch r.Reason {
	case ReasonMissing:
		return "the call has no API key; allowed: the header " + form
	case ReasonMalformed:
		return "the header Authorization holds no API key; allowed: " + form
	case ReasonUnknown:
		return "the API key is not known"
	case ReasonRevoked:
		return "the API key was revoked"
	case ReasonScope:
		return fmt.Sprintf("the API key has not the scope %s", r.Needed)
	case ReasonRate:
		return fmt.Sprintf("the API key has asked for too much at once; ask again after %s", r.RetryAfter)
	default:
		return "refused: " + string(r.Reason)
	}
}
