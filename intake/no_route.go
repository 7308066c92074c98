package intake

import (
	"net/http"
	"strings"
)

// noRoute answers for paths and methods that are not served, in the form of every other refusal.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request) {
	problem := notFound("nothing is served at this path; what is, is described at /docs and /openapi.json")
	if methods := a.methodsOf(r); len(methods) > 0 {
		problem = &Problem{Type: problemNoMethod, Title: "The path has no such method", Status: http.StatusMethodNotAllowed,
			Detail: "this path is not served with the method " + r.Method + "; allowed: " + strings.Join(methods, ", ")}
		w.Header().Set("Allow", strings.Join(methods, ", "))
	}
	problem.write(w)
}

// methodsOf lists the methods with which a call's path is served.
func (a *API) methodsOf(r *http.Request) []string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		asked := r.Clone(r.Context())
		asked.Method = method
		if _, pattern := a.mux.Handler(asked); pattern != "/" {
			methods = append(methods, method)
		}
	}
	return methods
}
