package access_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// gate is a guard with a clock of the test's own.
type gate struct {
	*access.Guard
	db       *pgtest.Database
	clock    *clock.Manual
	registry *prometheus.Registry
}

func newGate(t *testing.T, config access.Config) gate {
	t.Helper()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	return newGateOn(t, db, config)
}

func newGateOn(t *testing.T, db *pgtest.Database, config access.Config) gate {
	t.Helper()
	g := gate{db: db, clock: clock.NewManual(ledgertest.Noon), registry: prometheus.NewPedanticRegistry()}
	config.Clock, config.Registerer = g.clock, g.registry
	if config.Pool == nil {
		config.Pool = db.Pool
	}
	g.Guard = access.NewGuard(config)
	return g
}

func (g gate) create(t *testing.T, scopes ...access.Scope) (access.Key, string) {
	t.Helper()
	key, token, err := access.Create(t.Context(), g.db.Owner, access.NewKey{Producer: "shop", Scopes: scopes, By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return key, token.Reveal()
}

func (g gate) revoke(t *testing.T, id string) {
	t.Helper()
	if _, err := access.Revoke(t.Context(), g.db.Owner, id, "ada"); err != nil {
		t.Fatal(err)
	}
}

// admitted fails the test unless the token is let in.
func (g gate) admitted(t *testing.T, token string, needed ...access.Scope) access.Principal {
	t.Helper()
	principal, err := g.Admit(t.Context(), "Bearer "+token, needed...)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return principal
}

// refused fails the test unless the call is refused for that reason.
func (g gate) refused(t *testing.T, reason access.Reason, authorization string, needed ...access.Scope) *access.Refusal {
	t.Helper()
	principal, err := g.Admit(t.Context(), authorization, needed...)
	var refusal *access.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != reason {
		t.Fatalf("%v, want a refusal for %s", err, reason)
	}
	if diff := cmp.Diff([]access.Scope(nil), principal.Scopes); diff != "" || principal.Producer != "" {
		t.Errorf("refused, and yet %+v", principal.Producer)
	}
	return refusal
}

func TestProvenKeyIsItsProducer(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	key, token := g.create(t, access.RefundsWrite, access.Read)
	for _, authorization := range []string{"Bearer " + token, "bearer " + token, "BEARER  " + token + " "} {
		got, err := g.Admit(t.Context(), authorization, access.RefundsWrite, access.Read)
		if err != nil || got.KeyID != key.ID || got.Producer != "shop" || !cmp.Equal(got.Scopes, key.Scopes) {
			t.Errorf("%d characters: %+v, %v", len(authorization), got.Producer, err)
		}
	}
	_, admin := g.create(t, access.Admin)
	g.admitted(t, admin, access.Scopes()...)
}

// tampered are changes to a token, each of which makes another one.
func tampered(t *testing.T, token, other string) map[string]string {
	t.Helper()
	secret, err := base64.RawURLEncoding.DecodeString(token[20:])
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{"another key's secret": token[:20] + other[20:], "another key's name": other[:20] + token[20:]}
	for i := range secret {
		secret[i] ^= 1
		changed[fmt.Sprintf("byte %d", i)] = token[:20] + base64.RawURLEncoding.EncodeToString(secret)
		secret[i] ^= 1
	}
	clear(secret)
	changed["zeros"] = token[:20] + base64.RawURLEncoding.EncodeToString(secret)
	return changed
}

func TestTamperedTokenIsAnsweredAsAnUnknownOne(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	key, token := g.create(t, access.Admin)
	_, other := g.create(t, access.Admin)
	unknown := g.refused(t, access.ReasonUnknown, "Bearer sk_0123456789abcdef"+token[19:])
	for name, text := range tampered(t, token, other) {
		if diff := cmp.Diff(unknown, g.refused(t, access.ReasonUnknown, "Bearer "+text)); diff != "" {
			t.Errorf("%s is told from an unknown key (-unknown +got):\n%s", name, diff)
		}
	}
	g.admitted(t, token)
	g.revoke(t, key.ID)
	g.clock.Advance(access.Fresh)
	for name, text := range tampered(t, token, other) {
		if name == "another key's name" {
			continue
		}
		if diff := cmp.Diff(unknown, g.refused(t, access.ReasonUnknown, "Bearer "+text)); diff != "" {
			t.Errorf("%s tells that the key was revoked (-unknown +got):\n%s", name, diff)
		}
	}
}

func TestCallWithoutAKeyIsRefused(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	_, token := g.create(t, access.Admin)
	g.refused(t, access.ReasonMissing, "")
	for name, authorization := range map[string]string{
		"scheme alone": "Bearer", "scheme and space": "Bearer ", "bare token": token, "basic": "Basic " + token, "two tokens": "Bearer " + token + " " + token,
		"cut short": "Bearer " + token[:len(token)-1], "comma": "Bearer " + token + ",", "huge": "Bearer " + strings.Repeat("x", 100_000),
		"quoted": `Bearer "` + token + `"`, "tab": "Bearer\t" + token,
	} {
		if refusal := g.refused(t, access.ReasonMalformed, authorization); strings.Contains(refusal.Error(), token[20:]) {
			t.Errorf("%s: the secret is repeated: %v", name, refusal)
		}
	}
}

func TestMissingScopeIsNamed(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	_, reader := g.create(t, access.Read)
	for _, scope := range access.Scopes() {
		if scope == access.Read {
			continue
		}
		if refusal := g.refused(t, access.ReasonScope, "Bearer "+reader, access.Read, scope); refusal.Needed != scope ||
			!strings.Contains(refusal.Error(), string(scope)) {
			t.Errorf("%s: %+v", scope, refusal)
		}
	}
	g.admitted(t, reader, access.Read)
	g.admitted(t, reader)
}

func TestRevokedKeyIsRefusedOnceItIsNoLongerFresh(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	key, token := g.create(t, access.Admin)
	g.admitted(t, token)
	g.revoke(t, key.ID)
	g.clock.Advance(access.Fresh - time.Nanosecond)
	g.admitted(t, token)
	g.clock.Advance(time.Nanosecond)
	g.refused(t, access.ReasonRevoked, "Bearer "+token)
	newGateOn(t, g.db, access.Config{}).refused(t, access.ReasonRevoked, "Bearer "+token) // a process that never saw it
}

func TestNewKeyWorksAtOnceThoughItWasAskedForBefore(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	tx, err := g.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := access.Create(t.Context(), tx, access.NewKey{Producer: "shop", Scopes: []access.Scope{access.Read}, By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	g.refused(t, access.ReasonUnknown, "Bearer "+token.Reveal())
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.admitted(t, token.Reveal())
}

func TestKnownKeyOutlivesAnOutageForSomeTimeAndNobodyIsRefusedForIt(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	g := newGateOn(t, db, access.Config{})
	_, known := g.create(t, access.Admin)
	_, unseen := g.create(t, access.Admin)
	g.admitted(t, known)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	away := func(token string) {
		t.Helper()
		_, err := g.Admit(t.Context(), "Bearer "+token)
		if refusal := (*access.Refusal)(nil); err == nil || errors.As(err, &refusal) || strings.Contains(err.Error(), token[20:]) {
			t.Fatalf("%v, want an error that is no refusal", err)
		}
	}
	g.clock.Advance(access.Fresh)
	g.admitted(t, known)
	g.refused(t, access.ReasonUnknown, "Bearer "+known[:20]+unseen[20:]) // what is held still tells a wrong secret
	away(unseen)
	g.clock.Advance(access.Stale - access.Fresh - time.Nanosecond)
	g.admitted(t, known)
	g.clock.Advance(time.Nanosecond)
	away(known)
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
	g.admitted(t, known)
	g.admitted(t, unseen)
	if got := testutil.ToFloat64(reasons{g.registry, "unavailable"}); got != 2 {
		t.Errorf("%v calls are counted as unavailable, want 2", got)
	}
}

func TestCallerWhoLeavesDoesNotKeepOthersFromTheirAnswer(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	_, token := g.create(t, access.Admin)
	gone, leave := context.WithCancel(t.Context())
	leave()
	var calls sync.WaitGroup
	for i := range 40 {
		calls.Go(func() {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = gone
			}
			if _, err := g.Admit(ctx, "Bearer "+token); err != nil && (i%2 == 1 || !errors.Is(err, context.Canceled)) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	calls.Wait()
	g.admitted(t, token)
}

func TestRateHoldsForEachKeyByItself(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{Rate: 10, Burst: 5})
	_, token := g.create(t, access.Read)
	_, other := g.create(t, access.Read)
	for range 5 {
		g.admitted(t, token)
	}
	if refusal := g.refused(t, access.ReasonRate, "Bearer "+token); refusal.RetryAfter != 100*time.Millisecond {
		t.Errorf("retry after %s, want 100ms", refusal.RetryAfter)
	}
	g.refused(t, access.ReasonUnknown, "Bearer "+token[:20]+other[20:]) // a wrong secret spends nothing of the key's
	g.refused(t, access.ReasonScope, "Bearer "+token, access.Admin)     // nor does what it may not do
	g.admitted(t, other)
	g.clock.Advance(99 * time.Millisecond)
	g.refused(t, access.ReasonRate, "Bearer "+token)
	g.clock.Advance(time.Millisecond)
	g.admitted(t, token)
	g.refused(t, access.ReasonRate, "Bearer "+token)
	g.clock.Advance(access.Fresh) // the key is read anew, and a full bucket is no more than full
	for range 5 {
		g.admitted(t, token)
	}
	g.refused(t, access.ReasonRate, "Bearer "+token)
}

func TestRateIsNotForgottenWhenTheKeyIsReadAnew(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{Rate: 0.01, Burst: 2})
	_, token := g.create(t, access.Read)
	g.admitted(t, token)
	g.admitted(t, token)
	g.clock.Advance(2 * access.Fresh)
	g.refused(t, access.ReasonRate, "Bearer "+token)
}

func TestManyItemsOfACallAreEachCounted(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{Rate: 100, Burst: 1000})
	_, token := g.create(t, access.Read)
	principal := g.admitted(t, token)
	if err := principal.Charge(998); err != nil {
		t.Fatal(err)
	}
	var refusal *access.Refusal
	if err := principal.Charge(2); !errors.As(err, &refusal) || refusal.Reason != access.ReasonRate || refusal.RetryAfter != 10*time.Millisecond {
		t.Errorf("beyond the burst: %v", err)
	}
	if err := principal.Charge(0); err != nil {
		t.Errorf("nothing more: %v", err)
	}
	g.clock.Advance(10 * time.Second)
	if err := principal.Charge(3000); err != nil { // larger than the bucket: it must be full, and is in debt afterwards
		t.Fatal(err)
	}
	if err := principal.Charge(1); !errors.As(err, &refusal) || refusal.RetryAfter != 20*time.Second+10*time.Millisecond {
		t.Errorf("after a large call: %v", err)
	}
	g.clock.Advance(20*time.Second + 10*time.Millisecond)
	if err := principal.Charge(1); err != nil {
		t.Errorf("once the debt is paid: %v", err)
	}
	if err := principal.Charge(3000); !errors.As(err, &refusal) || refusal.RetryAfter != 10*time.Second {
		t.Errorf("a large call and an empty bucket: %v", err)
	}
}
