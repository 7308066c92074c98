package intake

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/settled-dev/settled/intake/access"
)

// keyScheme is the name of the API keys in the description of the API.
const keyScheme = "key"

// needs declares, as an operation's Security, that it is for keys with all of these scopes; without any, for every key.
func needs(scopes ...access.Scope) []map[string][]string {
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	return []map[string][]string{{keyScheme: names}}
}

// needsNoKey declares that an operation proves its caller by itself, or tells nothing.
func needsNoKey() []map[string][]string { return []map[string][]string{{}} }

// describeKeys tells in the API's description how a key is sent.
func describeKeys(api *huma.OpenAPI) {
	if api.Components.SecuritySchemes == nil {
		api.Components.SecuritySchemes = map[string]*huma.SecurityScheme{}
	}
	api.Components.SecuritySchemes[keyScheme] = &huma.SecurityScheme{Type: "http", Scheme: "bearer", BearerFormat: "sk_...",
		Description: "An API key, made by `settled key create`. What stands beside it at an operation are the scopes that it needs. " +
			"read shows the requests and recharge orders of the key's own producer, and all users and orders: these are the wallet's, whichever " +
			"producers serve them. Keys of requests are unique across producers: one that another producer has used is answered 409."}
}

// guard lets a call through to its operation when its key may make it, and leaves the principal in the call's context. It comes
// before the body is read. An operation that declares nothing is closed to everybody.
func (a *API) guard(ctx huma.Context, next func(huma.Context)) {
	declared := ctx.Operation().Security
	if len(declared) != 1 {
		a.config.Logger.ErrorContext(ctx.Context(), "operation declares no scope: "+ctx.Operation().OperationID)
		writeProblem(ctx, internal("this operation is closed"))
		return
	}
	names, keyed := declared[0][keyScheme]
	if !keyed {
		next(ctx)
		return
	}
	scopes := make([]access.Scope, len(names))
	for i, name := range names {
		scopes[i] = access.Scope(name)
	}
	principal, problem := a.admit(ctx.Context(), ctx.Header("Authorization"), scopes...)
	if problem != nil {
		writeProblem(ctx, problem)
		return
	}
	next(huma.WithContext(ctx, access.WithPrincipal(ctx.Context(), principal)))
}

// admit proves the key of a call, and that it has the scopes.
func (a *API) admit(ctx context.Context, authorization string, scopes ...access.Scope) (access.Principal, *Problem) {
	principal, err := a.config.Access.Admit(ctx, authorization, scopes...)
	if err == nil {
		return principal, nil
	}
	problem := accessProblem(err)
	if problem == nil {
		problem = a.failure(ctx, err, "nothing was done: ask again")
	}
	return access.Principal{}, problem
}

// writeProblem answers before huma does.
func writeProblem(call huma.Context, problem *Problem) {
	_, w := humago.Unwrap(call)
	problem.write(w)
}

// accessProblem answers for an *access.Refusal, and is nil for any other error.
func accessProblem(err error) *Problem {
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return nil
	}
	problem := &Problem{Detail: refusal.Error(), header: http.Header{}}
	switch refusal.Reason {
	case access.ReasonScope:
		problem.Type, problem.Title, problem.Status = problemForbidden, "The API key may not do this", http.StatusForbidden
		problem.header.Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="settled", error="insufficient_scope", scope="%s"`, refusal.Needed))
	case access.ReasonRate:
		problem.Type, problem.Title, problem.Status = problemTooMuch, titleTooMuch, http.StatusTooManyRequests
		problem.header.Set("Retry-After", strconv.Itoa(wholeSeconds(refusal.RetryAfter)))
	default:
		problem.Type, problem.Title, problem.Status = problemUnauthenticated, "A valid API key is needed", http.StatusUnauthorized
		challenge := `Bearer realm="settled"`
		if refusal.Reason != access.ReasonMissing {
			challenge += `, error="invalid_token"`
		}
		problem.header.Set("WWW-Authenticate", challenge)
	}
	return problem
}

// wholeSeconds rounds up: who comes back earlier is turned away again.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
