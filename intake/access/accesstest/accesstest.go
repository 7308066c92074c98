package accesstest

import (
	"net/http"
	"testing"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// Guard is a guard as in production, over the test's database.
func Guard(t testing.TB, db *pgtest.Database) *access.Guard {
	t.Helper()
	return access.NewGuard(access.Config{Pool: db.Pool})
}

// Key makes a key and returns its token, as it stands after "Bearer ".
func Key(t testing.TB, db *pgtest.Database, producer string, scopes ...access.Scope) string {
	t.Helper()
	_, token, err := access.Create(t.Context(), db.Owner, access.NewKey{Producer: producer, Scopes: scopes, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

// Client sends a token with every call that has no Authorization of its own.
func Client(token string) *http.Client { return &http.Client{Transport: bearer(token)} }

type bearer string

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Header.Get("Authorization") == "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(request)
}
