package intake

import (
	"net/http"
	"strings"
)

// away answers while there are no books yet.
type away struct{ described *API }

// NewAway makes the handler of an API whose process waits for PostgreSQL: the description is served as ever, and everything else is
// answered 503 with Retry-After, also channels' notices, which channels send again then. Nothing of a call is read or kept. version is
// the API's; empty means "devel".
func NewAway(version string) http.Handler { return &away{described: NewAPI(Config{Version: version})} }

// ServeHTTP implements http.Handler.
func (a *away) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path := r.URL.Path; path == "/docs" || strings.HasPrefix(path, "/docs/") || strings.HasPrefix(path, "/openapi") {
		a.described.ServeHTTP(w, r)
		return
	}
	setHeaders(w, r)
	unavailable("PostgreSQL has not answered since this process started; nothing was stored").write(w)
}
