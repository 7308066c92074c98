package intake

import (
	"net/http"
	"strings"
)

// away answers while there are no books yet.
type away struct {
	described *API
	notices   *http.ServeMux // nil: they are answered as everything else
}

// NewAway makes the handler of an API whose process waits for PostgreSQL: the description is served as ever, notices tells channels to
// come again, and everything else is answered 503 with Retry-After. Nothing of a call is read or kept. version is the API's; empty means
// "devel". notices is a notice.NewAway, or nil where the channels are not known yet: then they are answered as everything else, by a status
// after which all of them come again.
func NewAway(version string, notices http.Handler) http.Handler {
	a := &away{described: NewAPI(Config{Version: version})}
	if notices != nil {
		a.notices = http.NewServeMux()
		a.notices.Handle("POST "+noticesPath, notices)
		a.notices.HandleFunc("/", refuseAway)
	}
	return a
}

// ServeHTTP implements http.Handler.
func (a *away) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path := r.URL.Path; path == "/docs" || strings.HasPrefix(path, "/docs/") || strings.HasPrefix(path, "/openapi") {
		a.described.ServeHTTP(w, r)
		return
	}
	setHeaders(w, r)
	if a.notices != nil {
		a.notices.ServeHTTP(w, r)
		return
	}
	refuseAway(w, r)
}

func refuseAway(w http.ResponseWriter, _ *http.Request) {
	unavailable("PostgreSQL has not answered since this process started; nothing was stored").write(w)
}
