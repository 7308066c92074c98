package intake

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
)

// WebhookMessagesPage is a page of an endpoint's messages, in the order of their sequence.
type WebhookMessagesPage struct {
	Items []webhook.Sent `json:"items"`
	Next  string         `json:"next,omitempty" doc:"The cursor of the next page; absent on the last."`
}

type messagesInput struct {
	EndpointID string `path:"endpoint_id"`
	State      string `query:"state" doc:"waiting, delivered or dead. Defaults to all of them." example:"dead"`
	From       string `query:"from" doc:"The first sequence to list. Defaults to 1."`
	PageQuery
}

type messagesOutput struct {
	Link string `header:"Link"`
	Body WebhookMessagesPage
}

// WebhookRedelivery says which of an endpoint's messages are delivered once more.
type WebhookRedelivery struct {
	From  int64         `json:"from" doc:"The first sequence, 1 or more." example:"17"`
	To    int64         `json:"to,omitempty" doc:"The last sequence. Defaults to the newest."`
	State webhook.State `json:"state,omitempty" enum:"waiting,delivered,dead" doc:"Only those in this state. Defaults to all of them."`
}

// WebhookRedelivered says how many messages are delivered once more.
type WebhookRedelivered struct {
	Messages int64 `json:"messages" doc:"How many this call let be delivered again, up to 1,000."`
	Next     int64 `json:"next_from,omitempty" doc:"Where to go on: the from of the next call. Absent when all are done."`
}

type redeliveredOutput struct{ Body WebhookRedelivered }

func (a *API) registerWebhookMessages(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	const path = endpointsPath + "/{endpoint_id}"
	huma.Register(routes, huma.Operation{
		OperationID: "list-webhook-messages", Method: http.MethodGet, Path: path + "/messages", Tags: []string{tagWebhooks},
		Summary: "List an endpoint's messages, and what became of them", Security: needs(access.Read),
		Responses: problemResponses(registry, "404", "422", "503"),
	}, a.webhookMessages)
	huma.Register(routes, huma.Operation{
		OperationID: "redeliver-webhook-messages", Method: http.MethodPost, Path: path + "/redeliver", Tags: []string{tagWebhooks},
		Summary: "Deliver messages again: one, the dead ones, or all from a sequence on",
		Description: "Each comes under its own id and sequence, as often and as long as a new one; twice delivers twice. Those of an endpoint that " +
			"is not enabled wait. Up to 1,000 in a call, which counts as so many items against the key's rate.",
		Security: needs(access.WebhooksWrite), Responses: problemResponses(registry, "400", "404", "413", "415", "422", "503"),
	}, a.redeliverWebhookMessages)
	takesBody[WebhookRedelivery](routes, path+"/redeliver")
}

func (a *API) webhookMessages(ctx context.Context, in *messagesInput) (*messagesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	list := []string{"webhook-messages", in.EndpointID, in.State, in.From}
	limit, err := in.limit()
	var from int64
	if err == nil {
		from, err = in.begin(list)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	e, problem := a.findWebhookEndpoint(ctx, in.EndpointID, access.Principal.MaySee)
	if problem != nil {
		return nil, problem
	}
	found, err := a.config.Webhooks.Messages(ctx, e.ID, from, webhook.State(in.State), limit+1)
	out := &messagesOutput{Body: WebhookMessagesPage{Items: found}}
	if err == nil && len(found) > limit {
		out.Body.Items = found[:limit]
		out.Body.Next, err = newCursor(list, found[limit].Sequence)
	}
	if err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Link = in.nextLink(out.Body.Next, url.Values{"state": {in.State}, "from": {in.From}})
	return out, nil
}

// begin is the first sequence of the page. It returns a *tasks.FieldError for a query that is not allowed.
func (in *messagesInput) begin(list []string) (int64, error) {
	if err := checkMessageState(webhook.State(in.State)); err != nil {
		return 0, err
	}
	from := int64(1)
	if in.From != "" {
		var err error
		if from, err = strconv.ParseInt(in.From, 10, 64); err != nil || from < 1 {
			return 0, &tasks.FieldError{Field: "from", Problem: "is no sequence", Allowed: "1 or more"}
		}
	}
	_, err := in.position(list, &from)
	return from, err
}

func checkMessageState(state webhook.State) error {
	switch state {
	case "", webhook.Waiting, webhook.Delivered, webhook.Dead:
		return nil
	default:
		return &tasks.FieldError{Field: "state", Problem: "is no state of a message", Allowed: "waiting, delivered, dead"}
	}
}

func (a *API) redeliverWebhookMessages(ctx context.Context, in *endpointChangeInput) (*redeliveredOutput, error) {
	if in.problem != nil {
		return nil, in.problem
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	e, problem := a.findWebhookEndpoint(ctx, in.EndpointID, access.Principal.Owns)
	if problem != nil {
		return nil, problem
	}
	var asked WebhookRedelivery
	err := tasks.ReadObject(in.body, &asked)
	if err == nil {
		err = checkMessageState(asked.State)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	to := asked.To
	if to == 0 {
		to = webhook.Newest
	}
	if err := access.PrincipalOf(ctx).Charge(int(min(max(to-asked.From, 0), webhook.RedeliverMax-1))); err != nil {
		return nil, accessProblem(err)
	}
	count, next, err := a.config.Webhooks.RedeliverPage(ctx, e.ID, asked.From, to, asked.State)
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	if err != nil {
		return nil, a.failure(ctx, err, "which messages are delivered again is unknown: ask again")
	}
	return &redeliveredOutput{Body: WebhookRedelivered{Messages: count, Next: next}}, nil
}
