package intake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
)

const (
	endpointsPath = "/v1/webhook-endpoints"
	tagWebhooks   = "webhooks"
)

// NewWebhookEndpoint is what a producer says of an endpoint that it wants.
type NewWebhookEndpoint struct {
	URL      string          `json:"url" doc:"Where messages are posted: https, at a public address." example:"https://shop.example/settled"`
	Events   []webhook.Event `json:"events" doc:"What is told, each at most once."`
	Producer string          `json:"producer,omitempty" doc:"Whose outcomes are told. Defaults to this key's producer; another is for admin."`
}

// WebhookEndpoint is an endpoint as it is answered.
type WebhookEndpoint struct {
	ID          string                `json:"id"`
	Producer    string                `json:"producer"`
	URL         string                `json:"url"`
	Events      []webhook.Event       `json:"events"`
	State       webhook.EndpointState `json:"state" enum:"enabled,disabled,gone" doc:"Gone: it answered 410, and its messages wait until it is enabled."`
	Because     string                `json:"disabled_because,omitempty" doc:"Why it is not called."`
	Next        int64                 `json:"next_sequence" doc:"The number of the next message."`
	DeliveredTo int64                 `json:"delivered_to" doc:"Every message up to this number is delivered."`
	Waiting     int64                 `json:"waiting" doc:"How many messages are to be tried; 10,000 stands for more, too."`
	Dead        int64                 `json:"dead" doc:"How many messages are dead after their last try; 10,000 stands for more, too."`
	Problem     string                `json:"last_problem,omitempty" doc:"What the last try came to of the first message that waits, or of the newest dead one."`
	Secret      string                `json:"secret,omitempty" doc:"What messages are verified by. It is shown in the answer that makes it, and never again."`
}

func describeEndpoint(e *webhook.Endpoint, secret webhook.Secret) WebhookEndpoint {
	told := WebhookEndpoint{ID: e.ID, Producer: e.Producer, URL: e.URL, Events: e.Events, State: e.State, Because: e.Because, Next: e.Next,
		DeliveredTo: e.DeliveredTo, Waiting: e.Waiting, Dead: e.Dead, Problem: e.Problem}
	if secret != nil {
		told.Secret = secret.Reveal()
	}
	return told
}

// WebhookEndpointsPage is a page of endpoints, the oldest first.
type WebhookEndpointsPage struct {
	Items []WebhookEndpoint `json:"items"`
	Next  string            `json:"next,omitempty" doc:"The cursor of the next page; absent on the last."`
}

type endpointInput struct {
	EndpointID string `path:"endpoint_id" doc:"The endpoint's id: we_ and 32 hex digits."`
}

type endpointOutput struct{ Body WebhookEndpoint }

type endpointMadeOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     WebhookEndpoint
}

type endpointsInput struct {
	Producer string `query:"producer" doc:"Whose endpoints are listed. Defaults to this key's producer, and for admin to all."`
	PageQuery
}

type endpointsOutput struct {
	Link string `header:"Link"`
	Body WebhookEndpointsPage
}

func (a *API) registerWebhookEndpoints(routes huma.API) {
	if a.config.Webhooks == nil {
		return
	}
	registry := routes.OpenAPI().Components.Schemas
	responses := problemResponses(registry, "400", "409", "413", "415", "422", "503")
	responses["200"] = &huma.Response{Description: "Its producer has one of this URL and these events: that one, without its secret",
		Content: map[string]*huma.MediaType{mediaJSON: {Schema: schemaOf(registry, reflect.TypeFor[WebhookEndpoint]())}}}
	huma.Register(routes, huma.Operation{
		OperationID: "make-webhook-endpoint", Method: http.MethodPost, Path: endpointsPath, Tags: []string{tagWebhooks},
		Summary: "Make a webhook endpoint and get its secret, once", DefaultStatus: http.StatusCreated, Responses: responses,
		Description: fmt.Sprintf("It is told of what is decided from now on. Loopback and private addresses and plain http are refused, unless "+
			"the server was started with --webhooks-allow-private. A producer has up to %d endpoints.", webhook.EndpointsMax),
		Security: needs(access.WebhooksWrite),
	}, a.makeWebhookEndpoint)
	takesBody[NewWebhookEndpoint](routes, endpointsPath)
	huma.Register(routes, huma.Operation{
		OperationID: "list-webhook-endpoints", Method: http.MethodGet, Path: endpointsPath, Tags: []string{tagWebhooks},
		Summary: "List webhook endpoints", Security: needs(access.Read), Responses: problemResponses(registry, "422", "503"),
	}, a.webhookEndpoints)
	huma.Register(routes, huma.Operation{
		OperationID: "get-webhook-endpoint", Method: http.MethodGet, Path: endpointsPath + "/{endpoint_id}", Tags: []string{tagWebhooks},
		Summary: "Look a webhook endpoint up: its state, and how far it has come", Security: needs(access.Read),
		Responses: problemResponses(registry, "404", "422", "503"),
	}, a.webhookEndpoint)
	a.registerWebhookChanges(routes)
	a.registerWebhookMessages(routes)
}

// takesBody describes the JSON object that an operation reads by itself.
func takesBody[T any](routes huma.API, path string) {
	registry := routes.OpenAPI().Components.Schemas
	schema := schemaOf(registry, reflect.TypeFor[T]())
	properties := registry.SchemaFromRef(schema.Ref).Properties
	if events := properties["events"]; events != nil {
		events.Items.Enum = anyOf(webhook.Events())
	}
	routes.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{Required: true,
		Content: map[string]*huma.MediaType{mediaJSON: {Schema: schema}}}
}

func (a *API) makeWebhookEndpoint(ctx context.Context, in *jsonInput) (*endpointMadeOutput, error) {
	if in.problem != nil {
		return nil, in.problem
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	who := access.PrincipalOf(ctx)
	var asked NewWebhookEndpoint
	err := tasks.ReadObject(in.body, &asked)
	producer := asked.Producer
	if err == nil {
		producer, err = producerFor(who, asked.Producer)
	}
	var made webhook.Endpoint
	var secret webhook.Secret
	if err == nil {
		made, secret, err = a.config.Webhooks.AddOnce(ctx, webhook.NewEndpoint{Producer: producer, URL: asked.URL, Events: asked.Events,
			By: byKey(who)})
	}
	if problem := webhookFieldProblem(err); problem != nil {
		return nil, problem
	}
	switch {
	case errors.Is(err, webhook.ErrTooManyEndpoints):
		return nil, wrongState(fmt.Sprintf("producer %s has %d webhook endpoints, as many as it may make; disabled ones count", producer,
			webhook.EndpointsMax))
	case err != nil:
		return nil, a.failure(ctx, err, "whether the endpoint was made is unknown: ask for the list")
	}
	out := &endpointMadeOutput{Status: http.StatusCreated, Location: endpointsPath + "/" + url.PathEscape(made.ID),
		Body: describeEndpoint(&made, secret)}
	if secret == nil {
		out.Status = http.StatusOK
	}
	return out, nil
}

// byKey says by which key something was done, in what people read.
func byKey(who access.Principal) string { return "key " + who.KeyID }

// producerFor is whose endpoint is made: the key's own producer's, unless an admin names another.
func producerFor(who access.Principal, named string) (string, error) {
	switch {
	case named == "":
		return who.Producer, nil
	case !who.Owns(named):
		return "", foreignProducer()
	default:
		return named, tasks.CheckProducer(named)
	}
}

func foreignProducer() *tasks.FieldError {
	return &tasks.FieldError{Field: "producer", Problem: "is not this key's", Allowed: "this key's own producer, or none"}
}

// webhookFieldProblem answers for a field's error in the words of the wire: at the command line events are named one by one.
func webhookFieldProblem(err error) *Problem {
	var bad *tasks.FieldError
	if errors.As(err, &bad) && bad.Field == "event" {
		return refused(&tasks.FieldError{Field: "events", Problem: bad.Problem, Allowed: bad.Allowed})
	}
	return fieldProblem(err)
}

func (a *API) webhookEndpoints(ctx context.Context, in *endpointsInput) (*endpointsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	who := access.PrincipalOf(ctx)
	query := webhook.EndpointQuery{Producer: in.Producer, CountMax: webhook.CountMax}
	var err error
	if only := who.SeesOnly(); only != "" {
		if query.Producer = only; in.Producer != "" && in.Producer != only {
			err = foreignProducer()
		}
	} else if in.Producer != "" {
		err = tasks.CheckProducer(in.Producer)
	}
	list := []string{"webhook-endpoints", query.Producer}
	limit := 0
	if err == nil {
		limit, err = in.limit()
	}
	if err == nil {
		_, err = in.position(list, &query.After)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	query.Limit = limit + 1
	found, err := a.config.Webhooks.EndpointPage(ctx, query)
	out := &endpointsOutput{Body: WebhookEndpointsPage{Items: []WebhookEndpoint{}}}
	if err == nil && len(found) > limit {
		found = found[:limit]
		out.Body.Next, err = newCursor(list, found[limit-1].Position())
	}
	if err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	for i := range found {
		out.Body.Items = append(out.Body.Items, describeEndpoint(&found[i], nil))
	}
	out.Link = in.nextLink(out.Body.Next, url.Values{"producer": {in.Producer}})
	return out, nil
}

func (a *API) webhookEndpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	e, problem := a.findWebhookEndpoint(ctx, in.EndpointID, access.Principal.MaySee)
	if problem != nil {
		return nil, problem
	}
	return &endpointOutput{Body: describeEndpoint(&e, nil)}, nil
}

// findWebhookEndpoint finds an endpoint that the principal may have to do with: another's is answered as one that is not there.
func (a *API) findWebhookEndpoint(ctx context.Context, id string, may func(access.Principal, string) bool) (webhook.Endpoint, *Problem) {
	e, err := a.config.Webhooks.Find(ctx, id)
	switch {
	case errors.Is(err, webhook.ErrNoEndpoint), err == nil && !may(access.PrincipalOf(ctx), e.Producer):
		return webhook.Endpoint{}, notFound(fmt.Sprintf("there is no webhook endpoint with the id %q", id))
	case err != nil:
		return webhook.Endpoint{}, a.failure(ctx, err, "nothing was done: ask again")
	}
	return e, nil
}
