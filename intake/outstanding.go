package intake

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// OutstandingPage is a page of requests that have no outcome yet.
type OutstandingPage struct {
	Items []ledger.Outstanding `json:"items"`
	Next  string               `json:"next,omitempty" doc:"The cursor of the next page; absent on the last. A page may have fewer items than its limit, even none, and yet not be the last."`
}

type outstandingInput struct {
	State    string `query:"state" doc:"accepted, parked or dead. Defaults to all of them." example:"parked"`
	Kind     string `query:"kind" doc:"Defaults to all kinds." example:"refund:apply"`
	Producer string `query:"producer" doc:"Whose requests are listed. Defaults to this key's producer, and for admin to all."`
	PageQuery
}

type outstandingOutput struct {
	Link string `header:"Link"`
	Body OutstandingPage
}

func (a *API) registerOutstanding(routes huma.API) {
	huma.Register(routes, huma.Operation{
		OperationID: "list-requests", Method: http.MethodGet, Path: "/v1/requests", Tags: []string{"requests"},
		Summary: "List requests that have no outcome yet", Security: needs(access.Read),
		Responses: problemResponses(routes.OpenAPI().Components.Schemas, "422", "503"),
	}, a.outstanding)
}

func (a *API) outstanding(ctx context.Context, in *outstandingInput) (*outstandingOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	filter, err := in.filter(access.PrincipalOf(ctx))
	list := []string{"requests", filter.State, string(filter.Kind), filter.Producer}
	var after ledger.RequestRef
	var limit int
	if err == nil {
		limit, err = in.limit()
	}
	if err == nil {
		after, err = a.outstandingPosition(in, list)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	items, next, err := a.config.Reader.Outstanding(ctx, filter, after, limit)
	out := &outstandingOutput{Body: OutstandingPage{Items: items}}
	if err == nil && next != nil {
		out.Body.Next, err = newCursor(list, next)
	}
	if err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Link = in.nextLink(out.Body.Next, url.Values{"state": {in.State}, "kind": {in.Kind}, "producer": {in.Producer}})
	return out, nil
}

// outstandingPosition is where the page begins. A cursor's sum is no secret, so its book is checked: PostgreSQL refuses a number that is
// no book's, and that is the caller's fault.
func (a *API) outstandingPosition(in *outstandingInput, list []string) (ledger.RequestRef, error) {
	after := ledger.FirstRequest()
	first, err := in.position(list, &after)
	if err == nil && !first && (after.Book < 0 || after.Book >= a.config.Client.Books()) {
		err = badCursor()
	}
	return after, err
}

// filter keeps a key to what its producer asked for.
func (in *outstandingInput) filter(who access.Principal) (ledger.OutstandingFilter, error) {
	filter := ledger.OutstandingFilter{State: in.State, Producer: in.Producer}
	switch in.State {
	case "", ledger.StateAccepted, ledger.StateParked, ledger.StateDead:
	default:
		return filter, &tasks.FieldError{Field: "state", Problem: "is no state of a request without an outcome",
			Allowed: "accepted, parked, dead"}
	}
	if in.Kind != "" {
		if filter.Kind = tasks.Kind(in.Kind); !filter.Kind.Known() {
			_, err := tasks.ParseKind(in.Kind)
			return filter, err
		}
	}
	if only := who.SeesOnly(); only != "" {
		if in.Producer != "" && in.Producer != only {
			return filter, &tasks.FieldError{Field: "producer", Problem: "is not this key's", Allowed: "this key's own producer, or none"}
		}
		filter.Producer = only
	} else if in.Producer != "" {
		return filter, tasks.CheckProducer(in.Producer)
	}
	return filter, nil
}
