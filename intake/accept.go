package intake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// acceptInput is a request's body as it came: tasks.ParsePayload reads it, more strictly than a schema can say.
type acceptInput struct {
	body    []byte
	wait    time.Duration // for the outcome
	problem *Problem
}

// Resolve reads the body; huma calls it before the handler. It never holds more than the largest request.
func (in *acceptInput) Resolve(ctx huma.Context) []error {
	in.wait = preferredWait(ctx)
	in.body, in.problem = readJSON(ctx, tasks.PayloadBytesMax)
	return nil
}

type acceptOutput struct {
	Status   int
	Location string `header:"Location"`
	Applied  string `header:"Preference-Applied"`
	Body     tasks.Receipt
}

// registerAccept adds a route for each kind, so that each is described with its own shape, and one that refuses all others.
func (a *API) registerAccept(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	for _, kind := range tasks.Kinds() {
		if kind.Internal() {
			continue
		}
		responses := problemResponses(registry, "409", "413", "415", "422", "503")
		responses["200"] = &huma.Response{Description: "Replayed: stored before with the same content. Or, when the call waited for it: accepted, and decided already",
			Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf(registry, reflect.TypeFor[tasks.Receipt]())}}}
		path := "/v1/requests/" + string(kind)
		huma.Register(routes, huma.Operation{
			OperationID: "accept-" + strings.ReplaceAll(string(kind), ":", "-"), Method: http.MethodPost, Path: path,
			Tags: []string{"requests"}, Summary: "Accept a " + string(kind),
			DefaultStatus: http.StatusAccepted, Responses: responses, Security: needs(access.ScopeOf(kind)),
			Parameters: []*huma.Param{preferWait()},
		}, func(ctx context.Context, in *acceptInput) (*acceptOutput, error) { return a.accept(ctx, kind, in) })
		// Said only now: huma reads and validates every body that it knows of before the handler can.
		routes.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: payloadSchema(registry, kind)},
		}}
	}
	huma.Register(routes, huma.Operation{OperationID: "accept-unknown", Method: http.MethodPost, Path: "/v1/requests/{kind}", Hidden: true,
		Responses: problemResponses(registry, "422"), Security: needs()}, a.unknownKind)
}

type unknownKindInput struct {
	Kind string `path:"kind"`
}

func (a *API) unknownKind(_ context.Context, in *unknownKindInput) (*acceptOutput, error) {
	_, err := tasks.ParseKind(in.Kind)
	a.metrics.answered(kindUnknown, statusRefused, 0)
	return nil, fieldProblem(err)
}

func (a *API) accept(ctx context.Context, kind tasks.Kind, in *acceptInput) (*acceptOutput, error) {
	started := a.config.Clock.Now()
	receipt, problem := a.enqueue(ctx, kind, in)
	status := string(receipt.Status)
	switch {
	case problem == nil:
	case problem.Type == problemRefused:
		status = statusRefused
	case problem.Type == problemConflict:
		status = string(tasks.Conflicting)
	default:
		status = statusUnknown
	}
	a.metrics.answered(string(kind), status, a.config.Clock.Now().Sub(started))
	if problem != nil {
		return nil, problem
	}
	out := &acceptOutput{Status: http.StatusAccepted, Body: receipt,
		Location: "/v1/requests/" + string(kind) + "/" + url.PathEscape(receipt.Key)}
	a.awaitOutcome(ctx, in.wait, out)
	if receipt.Status == tasks.Replayed || out.Body.Outcome != nil {
		out.Status = http.StatusOK
	}
	return out, nil
}

// awaitOutcome waits for the outcome of a stored request that has none yet. Whose request it is not is told no outcome: nothing is
// waited for.
func (a *API) awaitOutcome(ctx context.Context, most time.Duration, out *acceptOutput) {
	receipt := &out.Body
	if most == 0 || receipt.Outcome != nil || !access.PrincipalOf(ctx).Owns(receipt.Producer) {
		return
	}
	outcome, waited := a.watch.wait(ctx, ledger.RequestRef{Book: receipt.Book, ID: receipt.ID}, most, a.draining)
	a.metrics.waited(waited, outcome != nil)
	if waited {
		receipt.Outcome, out.Applied = outcome, fmt.Sprintf("wait=%d", int(most.Seconds()))
	}
}

func (a *API) enqueue(ctx context.Context, kind tasks.Kind, in *acceptInput) (tasks.Receipt, *Problem) {
	if in.problem != nil {
		return tasks.Receipt{}, in.problem
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	client, err := a.client(ctx)
	if err != nil {
		return tasks.Receipt{}, a.failure(ctx, fmt.Errorf("ask for the key's producer: %v", err), "nothing was done") // no field of the caller's
	}
	var receipt tasks.Receipt
	payload, err := tasks.ParsePayload(kind, in.body)
	if err == nil {
		err = a.mayAsk(ctx, payload)
	}
	if err == nil {
		receipt, err = client.Enqueue(ctx, payload)
		receipt = hideForeign(access.PrincipalOf(ctx), receipt)
	}
	if err == nil {
		return receipt, nil
	}
	if problem := fieldProblem(err); problem != nil {
		return receipt, problem
	}
	if clash := (*tasks.ConflictError)(nil); errors.As(err, &clash) {
		return receipt, conflict(receipt)
	}
	return receipt, a.failure(ctx, err, "whether the request was accepted is unknown: send it again with the same key")
}
