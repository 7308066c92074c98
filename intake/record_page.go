package intake

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
)

// TransfersPage is a page of a request's transfers, in the order in which they were posted.
type TransfersPage struct {
	Items []ledger.Posted `json:"items"`
	Next  string          `json:"next,omitempty" doc:"The cursor of the next page; absent on the last."`
}

// TimelinePage is a page of what happened to a request, by time.
type TimelinePage struct {
	Items []ledger.Event `json:"items"`
	Next  string         `json:"next,omitempty" doc:"The cursor of the next page; absent on the last."`
}

type recordPageInput struct {
	Kind string `path:"kind" doc:"The request's kind." example:"sweep:chunk"`
	Key  string `path:"key" doc:"The producer's own id. A slash in it is written as %2F."`
	PageQuery
}

type transfersOutput struct {
	Link string `header:"Link"`
	Body TransfersPage
}

type timelineOutput struct {
	Link string `header:"Link"`
	Body TimelinePage
}

const recordPath = "/v1/requests/{kind}/{key}"

func (a *API) registerRecordPages(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	huma.Register(routes, huma.Operation{
		OperationID: "list-transfers-of-request", Method: http.MethodGet, Path: recordPath + "/transfers", Tags: []string{"requests"},
		Summary: "List the transfers of a request", Security: needs(access.Read), Responses: problemResponses(registry, "404", "422", "503"),
	}, a.recordTransfers)
	huma.Register(routes, huma.Operation{
		OperationID: "list-events-of-request", Method: http.MethodGet, Path: recordPath + "/timeline", Tags: []string{"requests"},
		Summary: "List all that happened to a request, the oldest first", Security: needs(access.Read),
		Description: "What happens while somebody pages comes on later pages.",
		Responses:   problemResponses(registry, "404", "422", "503"),
	}, a.recordTimeline)
}

// transfersList and timelineList name the lists of a request, for their cursors.
func transfersList(kind, key string) []string { return []string{"transfers", kind, key} }
func timelineList(kind, key string) []string  { return []string{"timeline", kind, key} }

// nameMore names the pages of what the record leaves out.
func (r *RequestRecord) nameMore() error {
	kind, path := string(r.Kind), "/v1/requests/"+url.PathEscape(string(r.Kind))+"/"+url.PathEscape(r.Key)
	if o, n := r.Outcome, len(r.Transfers); o != nil && n > 0 && o.Transfers > n {
		cursor, err := newCursor(transfersList(kind, r.Key), r.Transfers[n-1].Seq)
		if err != nil {
			return err
		}
		r.MoreTransfers = path + "/transfers?cursor=" + url.QueryEscape(cursor)
	}
	if r.Events > len(r.Timeline) {
		r.MoreEvents = path + "/timeline"
	}
	return nil
}

func (a *API) recordTransfers(ctx context.Context, in *recordPageInput) (*transfersOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	list := transfersList(in.Kind, in.Key)
	var after int64
	limit, err := in.begin(list, &after)
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	record, problem := a.findRecord(ctx, in.Kind, in.Key, a.config.Reader.Find)
	if problem != nil {
		return nil, problem
	}
	found, err := a.config.Reader.TransferPage(ctx, &record, after, limit+1)
	out := &transfersOutput{Body: TransfersPage{Items: found}}
	if err == nil && len(found) > limit {
		out.Body.Items = found[:limit]
		out.Body.Next, err = newCursor(list, found[limit-1].Seq)
	}
	if err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Link = in.nextLink(out.Body.Next, nil)
	return out, nil
}

func (a *API) recordTimeline(ctx context.Context, in *recordPageInput) (*timelineOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	list := timelineList(in.Kind, in.Key)
	var after ledger.EventPosition
	limit, err := in.begin(list, &after)
	if err == nil && (after.Skip < 0 || after.Skip > ledger.EventSkipMax) {
		err = badCursor()
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	record, problem := a.findRecord(ctx, in.Kind, in.Key, a.config.Reader.Find)
	if problem != nil {
		return nil, problem
	}
	found, err := a.config.Reader.EventPage(ctx, &record, after, limit+1)
	out := &timelineOutput{Body: TimelinePage{Items: found}}
	if err == nil && len(found) > limit {
		out.Body.Items = found[:limit]
		out.Body.Next, err = newCursor(list, after.Past(found[:limit]))
	}
	if err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Link = in.nextLink(out.Body.Next, nil)
	return out, nil
}

// begin reads where a page begins, and how long it is.
func (in *recordPageInput) begin(list []string, position any) (limit int, err error) {
	if limit, err = in.limit(); err == nil {
		_, err = in.position(list, position)
	}
	return limit, err
}
