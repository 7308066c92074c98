package intake

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/tasks"
)

// refuseQuery lets a call through to its operation when its query says nothing but what the operation is described with. A misspelt limit or
// producer that is passed over answers something else than was asked, and nobody learns of it.
func (a *API) refuseQuery(call huma.Context, next func(huma.Context)) {
	target := call.URL()
	var known []string
	for _, p := range call.Operation().Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	if problem := fieldProblem(checkQuery(target.RawQuery, known)); problem != nil {
		writeProblem(call, problem)
		return
	}
	next(call)
}

// checkQuery returns a *tasks.FieldError for a query that cannot be read, has a parameter that is not among those that are known, or one
// twice: only one of its values would count.
func checkQuery(query string, known []string) error {
	if query == "" {
		return nil
	}
	allowed := "no parameters"
	if len(known) > 0 {
		allowed = "the parameters " + strings.Join(known, ", ") + ", each once"
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return &tasks.FieldError{Field: "query", Problem: "is malformed", Allowed: allowed}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		field := fmt.Sprintf("%.64s", strings.ToValidUTF8(name, "\uFFFD"))
		switch {
		case !slices.Contains(known, name):
			return &tasks.FieldError{Field: field, Problem: "is unknown", Allowed: allowed}
		case len(values[name]) > 1:
			return &tasks.FieldError{Field: field, Problem: fmt.Sprintf("is given %d times", len(values[name])), Allowed: allowed}
		}
	}
	return nil
}
