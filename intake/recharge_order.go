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
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

// RechargeOrderRecord is a recharge order as it is answered. The type gives it a name of its own in the API's description.
type RechargeOrderRecord struct{ recharge.Order }

type rechargeOrderInput struct {
	RechargeID string `path:"recharge_id" doc:"The producer's own id of the recharge."`
}

type rechargeOrderOutput struct{ Body RechargeOrderRecord }

type openedOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     RechargeOrderRecord
}

func (a *API) registerRechargeOrders(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	responses := problemResponses(registry, "400", "409", "413", "415", "422", "503")
	responses["200"] = &huma.Response{Description: "Opened before with the same content",
		Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf(registry, reflect.TypeFor[RechargeOrderRecord]())}}}
	const path = "/v1/recharge-orders"
	huma.Register(routes, huma.Operation{
		OperationID: "open-recharge-order", Method: http.MethodPost, Path: path, Tags: []string{"recharges"},
		Summary: "Open a recharge order and get its number at the channel", DefaultStatus: http.StatusCreated, Responses: responses,
		Security: needs(access.RechargesWrite),
	}, a.openRechargeOrder)
	shape := reflect.TypeFor[tasks.RechargeOrder]()
	describeFields(registry, shape)
	routes.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemaOf(registry, shape)},
	}}
	huma.Register(routes, huma.Operation{
		OperationID: "get-recharge-order", Method: http.MethodGet, Path: path + "/{recharge_id}", Tags: []string{"recharges"},
		Summary: "Look a recharge order up", Security: needs(access.Read), Responses: problemResponses(registry, "404", "422", "503"),
	}, a.rechargeOrder)
	huma.Register(routes, huma.Operation{
		OperationID: "close-recharge-order", Method: http.MethodPost, Path: path + "/{recharge_id}/close", Tags: []string{"recharges"},
		Summary: "Close a recharge order that is not paid", Security: needs(access.RechargesWrite),
		Responses: problemResponses(registry, "404", "409", "422", "503"),
	}, a.closeRechargeOrder)
}

func (a *API) openRechargeOrder(ctx context.Context, in *jsonInput) (*openedOutput, error) {
	if in.problem != nil {
		return nil, in.problem
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	principal := access.PrincipalOf(ctx)
	asked, err := tasks.ParseRechargeOrder(in.body)
	var order recharge.Order
	var opened bool
	if err == nil {
		order, opened, err = a.config.Recharges.Open(ctx, principal.Producer, asked)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	if clash := (*recharge.ConflictError)(nil); errors.As(err, &clash) {
		return nil, rechargeConflict(principal, clash)
	}
	if err != nil {
		return nil, a.failure(ctx, err, "whether the order was opened is unknown: send it again with the same id")
	}
	out := &openedOutput{Status: http.StatusCreated, Location: "/v1/recharge-orders/" + url.PathEscape(order.RechargeID),
		Body: RechargeOrderRecord{order}}
	if !opened {
		out.Status = http.StatusOK
	}
	return out, nil
}

// rechargeConflict tells what is stored to those alone whose it is.
func rechargeConflict(principal access.Principal, clash *recharge.ConflictError) *Problem {
	if !principal.Owns(clash.Stored.Producer) {
		return taken("recharge order", clash.Stored.RechargeID)
	}
	return &Problem{Type: problemConflict, Title: "The key was used before with other content", Status: http.StatusConflict,
		Detail: clash.Error(), Fields: clash.Fields}
}

func (a *API) rechargeOrder(ctx context.Context, in *rechargeOrderInput) (*rechargeOrderOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	order, problem := a.findRechargeOrder(ctx, in.RechargeID, access.Principal.MaySee)
	if problem != nil {
		return nil, problem
	}
	return &rechargeOrderOutput{Body: RechargeOrderRecord{order}}, nil
}

func (a *API) closeRechargeOrder(ctx context.Context, in *rechargeOrderInput) (*rechargeOrderOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, problem := a.findRechargeOrder(ctx, in.RechargeID, access.Principal.Owns); problem != nil {
		return nil, problem
	}
	order, err := a.config.Recharges.Close(ctx, in.RechargeID)
	switch {
	case errors.Is(err, recharge.ErrPaid):
		return nil, wrongState(fmt.Sprintf("recharge order %q is paid by %s payment %s", order.RechargeID, order.Channel, order.ChannelTxnID))
	case errors.Is(err, recharge.ErrRejected):
		return nil, wrongState(fmt.Sprintf("recharge order %q is not paid: %s payment %s, which was for it, has funded something else",
			order.RechargeID, order.Channel, order.ChannelTxnID))
	case err != nil:
		return nil, a.failure(ctx, err, "whether the order is closed is unknown: close it again")
	}
	return &rechargeOrderOutput{Body: RechargeOrderRecord{order}}, nil
}

// findRechargeOrder finds an order that the principal may have to do with: another's is answered as one that is not there.
func (a *API) findRechargeOrder(ctx context.Context, id string, may func(access.Principal, string) bool) (recharge.Order, *Problem) {
	order, err := a.config.Recharges.Find(ctx, id)
	switch {
	case errors.Is(err, recharge.ErrNotFound), postgres.IsContent(err), err == nil && !may(access.PrincipalOf(ctx), order.Producer):
		return recharge.Order{}, notFound(fmt.Sprintf("no recharge order with the id %q was opened", id))
	case err != nil:
		return recharge.Order{}, a.failure(ctx, err, "nothing was done: ask again")
	}
	return order, nil
}
