package main

import (
	"net/http"
	"sync/atomic"
)

// entrance is a handler that is replaced while it is served: a process listens before PostgreSQL answers. It may be used by many
// goroutines at once.
type entrance struct{ behind atomic.Pointer[http.Handler] }

func newEntrance(first http.Handler) *entrance {
	e := &entrance{}
	e.lead(first)
	return e
}

// lead has calls from now on answered by handler.
func (e *entrance) lead(handler http.Handler) { e.behind.Store(&handler) }

// ServeHTTP implements http.Handler.
func (e *entrance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*e.behind.Load()).ServeHTTP(w, r)
}
