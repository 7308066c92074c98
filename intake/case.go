package intake

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// CasePage is a page of cases.
type CasePage struct {
	Items []ledger.CaseRecord `json:"items"`
	Next  string              `json:"next,omitempty" doc:"The cursor of the next page; absent on the last."`
}

type casesInput struct {
	Open string `query:"open" doc:"true: only those that nobody has decided. Defaults to false: all." example:"true"`
	Kind string `query:"kind" doc:"failed_refund, failed_return, paid_twice, unmatched_recharge or unreturnable_refund. Defaults to all kinds." example:"unmatched_recharge"`
	PageQuery
}

type casesOutput struct {
	Link string `header:"Link"`
	Body CasePage
}

type caseInput struct {
	CaseID string `path:"case_id" doc:"The case's id, as it is listed."`
}

type caseOutput struct{ Body ledger.CaseRecord }

// registerCases serves what a person decides. A case is decided by a request of its own kind, at the routes of all requests.
func (a *API) registerCases(routes huma.API) {
	schemas := routes.OpenAPI().Components.Schemas
	huma.Register(routes, huma.Operation{
		OperationID: "list-cases", Method: http.MethodGet, Path: "/v1/cases", Tags: []string{"cases"},
		Summary: "List cases, the oldest first", Security: needs(access.Admin), Responses: problemResponses(schemas, "422", "503"),
	}, a.listCases)
	huma.Register(routes, huma.Operation{
		OperationID: "get-case", Method: http.MethodGet, Path: "/v1/cases/{case_id}", Tags: []string{"cases"},
		Summary: "Look a case up", Security: needs(access.Admin), Responses: problemResponses(schemas, "404", "422", "503"),
	}, a.getCase)
}

func (a *API) listCases(ctx context.Context, in *casesInput) (*casesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	filter, err := in.filter()
	list := []string{"cases", in.Open, in.Kind}
	var after ledger.CasePosition
	var limit int
	if err == nil {
		limit, err = in.limit()
	}
	if err == nil {
		after, err = in.casePosition(list)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	items, next, err := a.config.Reader.Cases(ctx, filter, after, limit)
	out := &casesOutput{Body: CasePage{Items: append([]ledger.CaseRecord{}, items...)}}
	if err == nil && next != nil {
		out.Body.Next, err = newCursor(list, next)
	}
	if err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Link = in.nextLink(out.Body.Next, url.Values{"open": {in.Open}, "kind": {in.Kind}})
	return out, nil
}

// casePosition is where the page begins. A cursor's sum is no secret, so what it holds is checked.
func (in *casesInput) casePosition(list []string) (ledger.CasePosition, error) {
	var after ledger.CasePosition
	first, err := in.position(list, &after)
	if err == nil && !first {
		if _, bad := tasks.ParseCaseID(after.Ref.String()); bad != nil || after.OpenedAt.Before(earliestAsked) || after.OpenedAt.Year() > 9999 {
			err = badCursor()
		}
	}
	return after, err
}

func (in *casesInput) filter() (ledger.CaseFilter, error) {
	filter := ledger.CaseFilter{Open: in.Open == "true", Kind: ledger.CaseKind(in.Kind)}
	if in.Open != "" && in.Open != "true" && in.Open != "false" {
		return filter, &tasks.FieldError{Field: "open", Problem: "is neither true nor false", Allowed: "true, false"}
	}
	if in.Kind != "" && !slices.Contains(ledger.CaseKinds(), filter.Kind) {
		names := make([]string, 0, len(ledger.CaseKinds()))
		for _, kind := range ledger.CaseKinds() {
			names = append(names, string(kind))
		}
		return filter, &tasks.FieldError{Field: "kind", Problem: "is no kind of case", Allowed: strings.Join(names, ", ")}
	}
	return filter, nil
}

func (a *API) getCase(ctx context.Context, in *caseInput) (*caseOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ref, err := tasks.ParseCaseID(in.CaseID)
	if err != nil { // what is no id is answered as what is not there
		return nil, notFound("there is no such case")
	}
	found, err := a.config.Reader.Case(ctx, ref)
	switch {
	case errors.Is(err, ledger.ErrNoCase):
		return nil, notFound("there is no such case")
	case err != nil:
		return nil, a.failure(ctx, err, "ask again")
	}
	return &caseOutput{Body: found}, nil
}
