package intake

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// RefundPreview is what would become of a refund if it were applied now.
type RefundPreview struct {
	State    string              `json:"state" enum:"applied,rejected,parked" doc:"What the refund would become."`
	Reason   tasks.Reason        `json:"reason,omitempty" doc:"Why it would be rejected."`
	Detail   string              `json:"detail,omitempty" doc:"The same in words, as the outcome would tell it."`
	WaitsFor string              `json:"waits_for,omitempty" doc:"What it would wait for."`
	Parts    []RefundPart        `json:"parts" doc:"What each leg would give back."`
	Lines    []RefundPreviewLine `json:"lines" doc:"Of a refund that names lines: what each leg would give back for each of them."`
}

// RefundPart is what one leg would give back.
type RefundPart struct {
	Leg    int                `json:"leg"`
	Source tasks.Source       `json:"source"`
	Amount money.Amount       `json:"amount"`
	To     refund.Destination `json:"to" enum:"cash,reward,channel,person"`
	Number string             `json:"number,omitempty" doc:"The refund number that the channel would be asked under."`
	Limit  string             `json:"limit,omitempty" doc:"The channel's limit for which it would not be asked."`
}

// RefundPreviewLine is what would go back for one line.
type RefundPreviewLine struct {
	LineID string         `json:"line_id"`
	PerLeg []money.Amount `json:"per_leg" doc:"One amount for each leg of the order."`
}

type previewOutput struct{ Body RefundPreview }

func (a *API) registerPreview(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	const path = "/v1/refunds/preview"
	huma.Register(routes, huma.Operation{
		OperationID: "preview-refund", Method: http.MethodPost, Path: path, Tags: []string{"orders"},
		Summary: "Preview a refund: what would go where",
		Description: "Takes a refund as it would be asked, and changes nothing. It is decided by the rule that decides refunds, over the order " +
			"as it stands; what is applied in between may change it. That its refund_id was used before is not looked at.",
		Security: needs(access.Read), Responses: problemResponses(registry, "400", "413", "415", "422", "503"),
	}, a.previewRefund)
	routes.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		mediaJSON: {Schema: payloadSchema(registry, tasks.RefundApply)},
	}}
}

func (a *API) previewRefund(ctx context.Context, in *jsonInput) (*previewOutput, error) {
	if in.problem != nil {
		return nil, in.problem
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	payload, err := tasks.ParsePayload(tasks.RefundApply, in.body)
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	asked, ok := payload.(*tasks.Refund)
	if err != nil || !ok {
		return nil, a.failure(ctx, err, "nothing was done")
	}
	forecast, err := a.foresee(ctx, asked)
	if err != nil {
		return nil, a.failure(ctx, err, "nothing was done: ask again")
	}
	return &previewOutput{Body: describeForecast(forecast)}, nil
}

func (a *API) foresee(ctx context.Context, asked *tasks.Refund) (refund.Forecast, error) {
	record, err := a.config.Reader.Order(ctx, asked.OrderID)
	switch {
	case err == nil:
		return refund.Foresee(&record.Order, refund.PaymentAwaited, asked, &record.Policy, record.ReadAt), nil
	case !errors.Is(err, ledger.ErrNotFound):
		return refund.Forecast{}, err
	}
	payment, err := a.config.Reader.Record(ctx, tasks.PaymentCapture, asked.OrderID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return refund.Forecast{}, err
	}
	absence := refund.PaymentAwaited
	switch {
	case err != nil:
	case payment.Book != tasks.BookOf(asked.UserID, a.config.Client.Books()):
		absence = refund.PaymentElsewhere
	case payment.Outcome != nil && payment.Outcome.Result == tasks.Rejected:
		absence = refund.PaymentRejected
	}
	return refund.Foresee(nil, absence, asked, &record.Policy, record.ReadAt), nil
}

func describeForecast(forecast refund.Forecast) RefundPreview {
	preview := RefundPreview{State: string(tasks.Applied), Detail: forecast.Plan.String(), WaitsFor: forecast.WaitsFor,
		Parts: []RefundPart{}, Lines: []RefundPreviewLine{}}
	switch {
	case forecast.Refusal != nil:
		preview.State, preview.Reason, preview.Detail = string(tasks.Rejected), forecast.Refusal.Reason, forecast.Refusal.Detail
	case forecast.WaitsFor != "":
		preview.State = ledger.StateParked
	}
	for _, part := range forecast.Plan.Parts {
		preview.Parts = append(preview.Parts, RefundPart{Leg: part.Leg, Source: part.Source, Amount: part.Amount, To: part.To,
			Number: part.Number, Limit: part.Limit})
	}
	for _, line := range forecast.Plan.Lines {
		preview.Lines = append(preview.Lines, RefundPreviewLine{LineID: line.LineID, PerLeg: line.PerLeg})
	}
	return preview
}
