package access

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
)

// The defaults of a key's rate: more than a busy order system asks, and less than a loop that runs wild.
const (
	RateDefault  = 10_000
	BurstDefault = 50_000
)

// Config configures a Guard.
type Config struct {
	// Pool reads the keys. Required; the caller owns it.
	Pool *pgxpool.Pool
	// Rate is how many items a second one key may ask in the long run. Defaults to RateDefault.
	Rate float64
	// Burst is how many it may ask at once, at least 1. Defaults to BurstDefault.
	Burst int
	// Registerer takes the guard's metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Clock says what is fresh, and fills the keys' allowances. Defaults to the system's.
	Clock clock.Clock
}

// Guard lets calls in. It may be used by many goroutines at once, and holds nothing that must be closed.
type Guard struct {
	keys    *keyring
	clock   clock.Clock
	refused *prometheus.CounterVec
}

// NewGuard makes a guard. It asks PostgreSQL nothing until it is asked.
func NewGuard(config Config) *Guard {
	if config.Rate <= 0 {
		config.Rate = RateDefault
	}
	if config.Burst <= 0 {
		config.Burst = BurstDefault
	}
	if config.Clock == nil {
		config.Clock = clock.System
	}
	g := &Guard{clock: config.Clock, refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_intake_refused_total",
		Help: "Calls over HTTP that were not let in, by why; unavailable is PostgreSQL's fault, all others are the caller's."},
		[]string{"reason"})}
	g.keys = newKeyring(config.Pool, config.Clock, func() *allowance { return newAllowance(config.Rate, config.Burst) })
	for _, reason := range append(reasons(), reasonUnavailable) {
		g.refused.WithLabelValues(string(reason))
	}
	if config.Registerer != nil {
		config.Registerer.MustRegister(g.refused)
	}
	return g
}

// reasonUnavailable counts the calls whose key could not be looked up. It is no refusal.
const reasonUnavailable Reason = "unavailable"

// Admit proves the key in an Authorization header's value, checks that it has each needed scope, and counts the call's first item
// against its rate. It returns a *Refusal, or an error of PostgreSQL that says nothing of the caller.
func (g *Guard) Admit(ctx context.Context, authorization string, needed ...Scope) (Principal, error) {
	principal, err := g.admit(ctx, authorization, needed)
	if err != nil {
		reason := reasonUnavailable
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			reason = refusal.Reason
		}
		g.refused.WithLabelValues(string(reason)).Inc()
		return Principal{}, err
	}
	return principal, nil
}

func (g *Guard) admit(ctx context.Context, authorization string, needed []Scope) (Principal, error) {
	if authorization == "" {
		return Principal{}, &Refusal{Reason: ReasonMissing}
	}
	scheme, text, _ := strings.Cut(authorization, " ")
	token, ok := parseToken(strings.TrimSpace(text))
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, &Refusal{Reason: ReasonMalformed}
	}
	key, err := g.keys.find(ctx, token.id)
	if err != nil {
		return Principal{}, err
	}
	switch proven := token.proves(key); {
	case !proven:
		return Principal{}, &Refusal{Reason: ReasonUnknown}
	case key.revoked:
		return Principal{}, &Refusal{Reason: ReasonRevoked}
	}
	principal := Principal{KeyID: token.id, Producer: key.producer, Scopes: key.scopes, guard: g, allowance: key.allowance}
	for _, scope := range needed {
		if !principal.May(scope) {
			return Principal{}, &Refusal{Reason: ReasonScope, Needed: scope}
		}
	}
	if wait := key.allowance.take(g.clock.Now(), 1); wait > 0 {
		return Principal{}, &Refusal{Reason: ReasonRate, RetryAfter: wait}
	}
	return principal, nil
}
