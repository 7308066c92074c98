package pgtest

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/settled-dev/settled/internal/devstack"
)

// shared is the server of this test binary. It is never stopped: it ends with the binary (devstack's invariant 1), and
// DATABASE_URL's is not ours.
var shared struct {
	once sync.Once
	url  string
	err  error
}

// Server returns the URL of the server that New makes databases on: DATABASE_URL's, else this binary's own.
func Server(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.url = os.Getenv("DATABASE_URL"); shared.url != "" {
			return
		}
		// Other tests need the server as well: it must not fail with the first one.
		server, err := devstack.StartPostgres(context.WithoutCancel(t.Context()), devstack.PostgresOptions{Fast: true})
		if err != nil {
			shared.err = err
			return
		}
		shared.url = server.URL
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.url
}
