package intake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// registerAccept adds a route for each kind, so that each is described with its own shape, and one that refuses all others.
func (a *API) registerAccept(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	for _, kind := range tasks.Kinds() {
		if kind.Internal() {
			continue
		}
		receipt := map[string]*huma.MediaType{mediaJSON: {Schema: schemaOf(registry, reflect.TypeFor[tasks.Receipt]())}}
		text := &huma.Schema{Type: huma.TypeString}
		headers := map[string]*huma.Param{"Location": {Schema: text}, "Preference-Applied": {Schema: text}}
		responses := problemResponses(registry, "400", "409", "413", "415", "422", "503")
		responses["200"] = &huma.Response{Content: receipt, Headers: headers,
			Description: "Replayed: stored before with the same content. Or, when the call waited for it: accepted, and decided already"}
		responses["202"] = &huma.Response{Content: receipt, Headers: headers, Description: "Accepted: committed, and not decided yet"}
		path := acceptPath(kind)
		routes.OpenAPI().AddOperation(&huma.Operation{
			OperationID: "accept-" + strings.ReplaceAll(string(kind), ":", "-"), Method: http.MethodPost, Path: path,
			Tags: []string{"requests"}, Summary: "Accept a " + string(kind),
			Responses: responses, Security: needs(access.ScopeOf(kind)), Parameters: []*huma.Param{preferWait()},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{mediaJSON: {Schema: payloadSchema(registry, kind)}}},
		})
		a.accepts[path] = a.acceptOne(kind)
		a.mux.HandleFunc(http.MethodPost+" "+path, a.accepts[path])
	}
	huma.Register(routes, huma.Operation{OperationID: "accept-unknown", Method: http.MethodPost, Path: "/v1/requests/{kind}", Hidden: true,
		Responses: problemResponses(registry, "422"), Security: needs()}, a.unknownKind)
}

type unknownKindInput struct {
	Kind string `path:"kind"`
}

func (a *API) unknownKind(_ context.Context, in *unknownKindInput) (*struct{}, error) {
	_, err := tasks.ParseKind(in.Kind)
	a.metrics.answered(kindUnknown, statusRefused, 0)
	return nil, fieldProblem(err)
}

// acceptOne serves the route of a kind. It is the busiest of all, and served without huma, which only describes it (docs/adr/0013).
func (a *API) acceptOne(kind tasks.Kind) http.HandlerFunc {
	needed, place := access.ScopeOf(kind), "/v1/requests/"+string(kind)+"/"
	return func(w http.ResponseWriter, r *http.Request) {
		who, problem := a.admit(r.Context(), r.Header.Get("Authorization"), needed)
		if problem != nil {
			problem.write(w)
			return
		}
		receipt, problem := a.accept(who, kind, r)
		if problem != nil {
			problem.write(w)
			return
		}
		header := w.Header()
		header.Set("Location", place+url.PathEscape(receipt.Key))
		a.awaitOutcome(r, &receipt, header)
		status := http.StatusAccepted
		if receipt.Status == tasks.Replayed || receipt.Outcome != nil {
			status = http.StatusOK
		}
		header.Set("Content-Type", mediaJSON)
		w.WriteHeader(status)
		if text, err := receipt.AppendJSON(make([]byte, 0, 256)); err == nil {
			_, _ = w.Write(append(text, '\n')) // the caller may have left
		}
	}
}

// accept reads, validates and stores a request, and counts what became of it. tasks.ParsePayload is stricter than a schema can say.
func (a *API) accept(who access.Principal, kind tasks.Kind, r *http.Request) (tasks.Receipt, *Problem) {
	body, problem := readJSON(r, tasks.PayloadBytesMax)
	started := a.config.Clock.Now()
	var receipt tasks.Receipt
	if problem == nil {
		problem = fieldProblem(checkQuery(r.URL.RawQuery, nil))
	}
	if problem == nil {
		receipt, problem = a.enqueue(r.Context(), who, kind, body)
	}
	status := string(receipt.Status)
	switch {
	case problem == nil:
	case problem.Type == problemRefused:
		status = statusRefused
	case problem.Type == problemConflict, problem.Type == problemTaken:
		status = string(tasks.Conflicting)
	default:
		status = statusUnknown
	}
	a.metrics.answered(string(kind), status, a.config.Clock.Now().Sub(started))
	return receipt, problem
}

// awaitOutcome waits for the outcome of a stored request that has none yet, if the call prefers to.
func (a *API) awaitOutcome(r *http.Request, receipt *tasks.Receipt, header http.Header) {
	most := preferredWait(r.Header)
	if most == 0 || receipt.Outcome != nil {
		return
	}
	outcome, waited := a.watch.wait(r.Context(), ledger.RequestRef{Book: receipt.Book, ID: receipt.ID}, most, a.draining)
	a.metrics.waited(waited, outcome != nil)
	if waited {
		receipt.Outcome = outcome
		header.Set("Preference-Applied", fmt.Sprintf("wait=%d", int(most.Seconds())))
	}
}

// enqueue stores a request, or finds it stored. What another producer has stored under the key is not told, nor whether it is the same.
func (a *API) enqueue(ctx context.Context, who access.Principal, kind tasks.Kind, body []byte) (tasks.Receipt, *Problem) {
	client, err := a.config.Client.As(who.Producer)
	if err != nil {
		return tasks.Receipt{}, a.failure(ctx, fmt.Errorf("ask for the key's producer: %v", err), "nothing was done") // no field of the caller's
	}
	var receipt tasks.Receipt
	payload, err := tasks.ParsePayload(kind, body)
	if ahead := aheadOf(a.config.Clock.Now(), payload); err == nil && ahead != nil {
		err = ahead
	}
	if err == nil {
		receipt, err = client.Enqueue(ctx, payload)
	}
	clash := (*tasks.ConflictError)(nil)
	switch isConflict := errors.As(err, &clash); {
	case err != nil && !isConflict:
	case !who.Owns(receipt.Producer):
		return tasks.Receipt{}, taken(string(kind), receipt.Key)
	case isConflict:
		return receipt, conflict(receipt)
	default:
		return receipt, nil
	}
	if problem := fieldProblem(err); problem != nil {
		return receipt, problem
	}
	return receipt, a.failure(ctx, err, "whether the request was accepted is unknown: send it again with the same key")
}
