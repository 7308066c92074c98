package intake

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
)

// WebhookDisabling is what a producer says when it disables an endpoint.
type WebhookDisabling struct {
	Because string `json:"because" doc:"Why, for whoever looks later." example:"the shop has moved"`
}

// WebhookRotation is what a producer says when it wants another secret.
type WebhookRotation struct {
	Overlap string `json:"overlap,omitempty" doc:"How long messages are signed by the old secret as well, such as 90m, up to 720h. Defaults to 24h; 0s: it was stolen." example:"24h"`
}

// overlapDefault is how long a replaced secret signs as well, unless it is said.
const overlapDefault = 24 * time.Hour

type endpointChangeInput struct {
	EndpointID string `path:"endpoint_id"`
	jsonInput
}

func (a *API) registerWebhookChanges(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	const path = endpointsPath + "/{endpoint_id}"
	huma.Register(routes, huma.Operation{
		OperationID: "enable-webhook-endpoint", Method: http.MethodPost, Path: path + "/enable", Tags: []string{tagWebhooks},
		Summary: "Let a webhook endpoint be called again",
		Description: "What waits is delivered when it is due, and what is decided from now on. What was decided meanwhile has waited too when " +
			"the endpoint was gone; when it was disabled, it is not told.",
		Security: needs(access.WebhooksWrite), Responses: problemResponses(registry, "404", "422", "503"),
	}, a.enableWebhookEndpoint)
	huma.Register(routes, huma.Operation{
		OperationID: "disable-webhook-endpoint", Method: http.MethodPost, Path: path + "/disable", Tags: []string{tagWebhooks},
		Summary:     "Stop calling a webhook endpoint",
		Description: "Nothing more becomes a message of it, and what waits is kept. Twice, the first reason stays.",
		Security:    needs(access.WebhooksWrite), Responses: problemResponses(registry, "400", "404", "413", "415", "422", "503"),
	}, a.disableWebhookEndpoint)
	takesBody[WebhookDisabling](routes, path+"/disable")
	huma.Register(routes, huma.Operation{
		OperationID: "rotate-webhook-secret", Method: http.MethodPost, Path: path + "/rotate", Tags: []string{tagWebhooks},
		Summary: "Give a webhook endpoint a new secret, which is shown once",
		Description: "Without an answer, rotate again. Messages are signed by the newest secret, and during the overlap by the one before it " +
			"as well; one that was replaced earlier signs no more.",
		Security: needs(access.WebhooksWrite), Responses: problemResponses(registry, "400", "404", "413", "415", "422", "503"),
	}, a.rotateWebhookSecret)
	takesBody[WebhookRotation](routes, path+"/rotate")
}

func (a *API) enableWebhookEndpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	return a.changeWebhookEndpoint(ctx, in.EndpointID, func(ctx context.Context, e *webhook.Endpoint) (webhook.Secret, error) {
		if e.State == webhook.EndpointEnabled { // nobody who gathers has to wait
			return nil, nil
		}
		return nil, a.config.Webhooks.Enable(ctx, e.ID)
	})
}

func (a *API) disableWebhookEndpoint(ctx context.Context, in *endpointChangeInput) (*endpointOutput, error) {
	if in.problem != nil {
		return nil, in.problem
	}
	return a.changeWebhookEndpoint(ctx, in.EndpointID, func(ctx context.Context, e *webhook.Endpoint) (webhook.Secret, error) {
		var asked WebhookDisabling
		if err := tasks.ReadObject(in.body, &asked); err != nil {
			return nil, err
		}
		return nil, a.config.Webhooks.Disable(ctx, e.ID, asked.Because, byKey(access.PrincipalOf(ctx)))
	})
}

func (a *API) rotateWebhookSecret(ctx context.Context, in *endpointChangeInput) (*endpointOutput, error) {
	if in.problem != nil {
		return nil, in.problem
	}
	return a.changeWebhookEndpoint(ctx, in.EndpointID, func(ctx context.Context, e *webhook.Endpoint) (webhook.Secret, error) {
		overlap, err := readOverlap(in.body)
		if err != nil {
			return nil, err
		}
		return a.config.Webhooks.Rotate(ctx, e.ID, overlap)
	})
}

func readOverlap(body []byte) (time.Duration, error) {
	var asked WebhookRotation
	if err := tasks.ReadObject(body, &asked); err != nil {
		return 0, err
	}
	if asked.Overlap == "" {
		return overlapDefault, nil
	}
	overlap, err := time.ParseDuration(asked.Overlap)
	if err != nil {
		return 0, &tasks.FieldError{Field: "overlap", Problem: fmt.Sprintf("is %.40q", asked.Overlap), Allowed: "0s to " + webhook.OverlapMax.String() + ", such as 24h or 90m"}
	}
	return overlap, nil
}

// changeWebhookEndpoint changes an endpoint of the principal's, and answers with what it is then.
func (a *API) changeWebhookEndpoint(ctx context.Context, id string, change func(context.Context, *webhook.Endpoint) (webhook.Secret, error)) (
	*endpointOutput, error,
) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	e, problem := a.findWebhookEndpoint(ctx, id, access.Principal.Owns)
	if problem != nil {
		return nil, problem
	}
	secret, err := change(ctx, &e)
	if problem := webhookFieldProblem(err); problem != nil {
		return nil, problem
	}
	if err == nil {
		e, err = a.config.Webhooks.Find(ctx, e.ID)
	}
	if err != nil {
		return nil, a.failure(ctx, err, "whether the endpoint was changed is unknown: look it up, or do it again")
	}
	return &endpointOutput{Body: describeEndpoint(&e, secret)}, nil
}
