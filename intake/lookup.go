package intake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Balances are a user's accounts. The command line prints them in this form too.
type Balances struct {
	UserID   string           `json:"user_id"`
	At       *time.Time       `json:"at,omitempty" doc:"The time that was asked for; absent for now."`
	Accounts []ledger.Balance `json:"accounts"`
}

type recordInput struct {
	Kind string `path:"kind" doc:"The request's kind." example:"refund:apply"`
	Key  string `path:"key" doc:"The producer's own id. A slash in it is written as %2F."`
}

// RequestRecord is a request as it is answered.
type RequestRecord struct {
	ledger.Record
	// MoreTransfers and MoreEvents are absent when the record has all of them.
	MoreTransfers string          `json:"more_transfers,omitempty" doc:"The path of the page with the transfers after these."`
	MoreEvents    string          `json:"more_events,omitempty" doc:"The path of the first page of the whole timeline."`
	Channels      []ChannelRefund `json:"channels,omitempty" doc:"Of a refund that is applied: what goes back through channels, by leg, and how far that is."`
}

type recordOutput struct{ Body RequestRecord }

type balancesInput struct {
	UserID string `path:"user_id"`
	At     string `query:"at" doc:"A time of RFC 3339; defaults to now."`
}

type balancesOutput struct{ Body Balances }

func (a *API) registerLookups(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	huma.Register(routes, huma.Operation{
		OperationID: "get-request", Method: http.MethodGet, Path: "/v1/requests/{kind}/{key}", Tags: []string{"requests"},
		Summary: "Look a request up", Security: needs(access.Read), Responses: problemResponses(registry, "404", "422", "503"),
	}, a.record)
	a.registerRecordPages(routes)
	huma.Register(routes, huma.Operation{
		OperationID: "get-balances", Method: http.MethodGet, Path: "/v1/users/{user_id}/balances", Tags: []string{"users"},
		Summary: "Look a user's balances up", Security: needs(access.Read), Responses: problemResponses(registry, "404", "422", "503"),
	}, a.balances)
}

func (a *API) record(ctx context.Context, in *recordInput) (*recordOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	record, problem := a.findRecord(ctx, in.Kind, in.Key, a.config.Reader.Record)
	if problem != nil {
		return nil, problem
	}
	out := &recordOutput{Body: RequestRecord{Record: record}}
	if err := out.Body.nameMore(); err != nil {
		return nil, a.failure(ctx, err, "ask again")
	}
	if record.Kind == tasks.RefundApply && record.State == string(tasks.Applied) {
		channels, err := a.channelRefunds(ctx, numbersOfRefund(record.Key))
		if err != nil {
			return nil, a.failure(ctx, err, "ask again")
		}
		out.Body.Channels = channels[record.Key]
	}
	return out, nil
}

// findRecord finds a request that the principal may see, by a reader's function: another's is answered as one that is not there.
func (a *API) findRecord(ctx context.Context, name, key string, find func(context.Context, tasks.Kind, string) (ledger.Record, error)) (
	ledger.Record, *Problem,
) {
	kind := tasks.Kind(name)
	if !kind.Known() {
		_, err := tasks.ParseKind(name)
		return ledger.Record{}, fieldProblem(err)
	}
	record, err := find(ctx, kind, key)
	switch {
	case errors.Is(err, ledger.ErrNotFound), postgres.IsContent(err), // no stored key has bytes that PostgreSQL refuses
		err == nil && !access.PrincipalOf(ctx).MaySee(record.Producer):
		return ledger.Record{}, notFound(fmt.Sprintf("no %s with the key %q was accepted", kind, key))
	case err != nil:
		return ledger.Record{}, a.failure(ctx, err, "ask again")
	}
	return record, nil
}

func (a *API) balances(ctx context.Context, in *balancesInput) (*balancesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	out := &balancesOutput{Body: Balances{UserID: in.UserID}}
	at, err := parseTime("at", in.At)
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	if !at.IsZero() {
		out.Body.At = &at
	}
	accounts, err := a.config.Reader.Balances(ctx, in.UserID, at)
	switch {
	case errors.Is(err, ledger.ErrNotFound), postgres.IsContent(err):
		return nil, notFound(fmt.Sprintf("user %q has no accounts: they open with the first credit", in.UserID))
	case err != nil:
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Body.Accounts = accounts
	return out, nil
}
