package intake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// Order is a captured order as it is answered. What is refunded includes what is on its way back through a channel.
type Order struct {
	OrderID    string           `json:"order_id"`
	UserID     string           `json:"user_id"`
	MerchantID string           `json:"merchant_id"`
	CapturedAt time.Time        `json:"captured_at"`
	Captured   money.Amount     `json:"captured"`
	Refunded   money.Amount     `json:"refunded"`
	Refundable money.Amount     `json:"refundable" doc:"What can still be refunded."`
	Legs       []OrderLeg       `json:"legs"`
	Lines      []OrderLine      `json:"lines"`
	Refunds    OrderRefundsPage `json:"refunds" doc:"The first of the refunds that this key's producer asked of the order; every producer's for admin."`
}

// OrderLeg is one funding source of an order.
type OrderLeg struct {
	Leg          int          `json:"leg" doc:"Its number in the order, from 0."`
	Source       tasks.Source `json:"source"`
	ChannelTxnID string       `json:"channel_txn_id,omitempty"`
	Captured     money.Amount `json:"captured"`
	Refunded     money.Amount `json:"refunded"`
	Refundable   money.Amount `json:"refundable"`
}

// OrderLine is one position of an order.
type OrderLine struct {
	LineID     string         `json:"line_id"`
	Kind       tasks.LineKind `json:"kind"`
	Amount     money.Amount   `json:"amount"`
	Paid       money.Amount   `json:"paid" doc:"What the legs paid of it, coupons taken off."`
	Refunded   money.Amount   `json:"refunded" doc:"What was refunded of it by name."`
	Refundable money.Amount   `json:"refundable" doc:"What a refund that names it can still give back."`
}

// OrderRefund is one refund that was asked of an order.
type OrderRefund struct {
	RefundID   string             `json:"refund_id"`
	ID         uuid.UUID          `json:"id"`
	Amount     money.Amount       `json:"amount"`
	Lines      []tasks.LineRefund `json:"lines,omitempty"`
	To         tasks.RefundTarget `json:"to,omitempty"`
	State      string             `json:"state" enum:"accepted,parked,dead,applied,rejected"`
	WaitsFor   string             `json:"waits_for,omitempty"`
	Reason     tasks.Reason       `json:"reason,omitempty" doc:"Why it was rejected."`
	Detail     string             `json:"detail,omitempty" doc:"What went where, or why not."`
	AcceptedAt time.Time          `json:"accepted_at"`
	DecidedAt  *time.Time         `json:"decided_at,omitempty"`
	// Channels are absent of a refund that is not applied.
	Channels []ChannelRefund `json:"channels,omitempty" doc:"What goes back through channels, by leg, and how far that is."`
}

// OrderRefundsPage is a page of an order's refunds, about in the order of their acceptance.
type OrderRefundsPage struct {
	Items []OrderRefund `json:"items"`
	Next  string        `json:"next,omitempty" doc:"The cursor of the next page, at /v1/orders/{order_id}/refunds; absent on the last."`
}

type orderInput struct {
	OrderID string `path:"order_id" doc:"The id that its payment was captured with."`
}

type orderOutput struct{ Body Order }

type orderRefundsInput struct {
	OrderID string `path:"order_id"`
	PageQuery
}

type orderRefundsOutput struct {
	Link string `header:"Link"`
	Body OrderRefundsPage
}

func (a *API) registerOrders(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	huma.Register(routes, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{order_id}", Tags: []string{"orders"},
		Summary:  "Look an order up: what was captured, refunded, and can still be refunded",
		Security: needs(access.Read), Responses: problemResponses(registry, "404", "422", "503"),
	}, a.order)
	huma.Register(routes, huma.Operation{
		OperationID: "list-refunds-of-order", Method: http.MethodGet, Path: "/v1/orders/{order_id}/refunds", Tags: []string{"orders"},
		Summary: "List the refunds that were asked of an order", Security: needs(access.Read),
		Responses: problemResponses(registry, "404", "422", "503"),
	}, a.orderRefunds)
}

func (a *API) order(ctx context.Context, in *orderInput) (*orderOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	record, problem := a.findOrder(ctx, in.OrderID)
	if problem != nil {
		return nil, problem
	}
	refunds, problem := a.refundsPage(ctx, record, uuid.Nil, pageDefault)
	if problem != nil {
		return nil, problem
	}
	return &orderOutput{Body: describeOrder(record, refunds)}, nil
}

func (a *API) orderRefunds(ctx context.Context, in *orderRefundsInput) (*orderRefundsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	limit, err := in.limit()
	var after uuid.UUID
	if err == nil {
		_, err = in.position(refundsList(in.OrderID), &after)
	}
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	record, problem := a.findOrder(ctx, in.OrderID)
	if problem != nil {
		return nil, problem
	}
	page, problem := a.refundsPage(ctx, record, after, limit)
	if problem != nil {
		return nil, problem
	}
	return &orderRefundsOutput{Body: page, Link: in.nextLink(page.Next, nil)}, nil
}

func (a *API) findOrder(ctx context.Context, orderID string) (ledger.OrderRecord, *Problem) {
	record, err := a.config.Reader.Order(ctx, orderID)
	switch {
	case errors.Is(err, ledger.ErrNotFound), postgres.IsContent(err): // no stored id has bytes that PostgreSQL refuses
		return record, notFound(fmt.Sprintf("no payment of an order %q was captured", orderID))
	case err != nil:
		return record, a.failure(ctx, err, "ask again")
	}
	return record, nil
}

// refundsList names the list of an order's refunds, for its cursors.
func refundsList(orderID string) []string { return []string{"refunds", orderID} }

// refundsPage reads a page of the refunds that the principal may see.
func (a *API) refundsPage(ctx context.Context, order ledger.OrderRecord, after uuid.UUID, limit int) (OrderRefundsPage, *Problem) {
	page := OrderRefundsPage{Items: []OrderRefund{}}
	query := ledger.OrderRefundsQuery{Book: order.Book, OrderID: order.Order.ID, Producer: access.PrincipalOf(ctx).SeesOnly(),
		After: after, Limit: limit + 1}
	refunds, err := a.config.Reader.OrderRefunds(ctx, query)
	if err != nil {
		return page, a.failure(ctx, err, "ask again")
	}
	if len(refunds) > limit {
		refunds = refunds[:limit]
		if page.Next, err = newCursor(refundsList(order.Order.ID), refunds[limit-1].ID); err != nil {
			return page, a.failure(ctx, err, "ask again")
		}
	}
	channels, err := a.channelRefunds(ctx, numbersOfPage(&order.Order, refunds))
	if err != nil {
		return page, a.failure(ctx, err, "ask again")
	}
	for _, r := range refunds {
		page.Items = append(page.Items, OrderRefund{RefundID: r.Refund.RefundID, ID: r.ID, Amount: r.Refund.Amount, Lines: r.Refund.Lines,
			To: r.Refund.To, State: r.State, WaitsFor: r.WaitsFor, Reason: r.Reason, Detail: r.Detail, AcceptedAt: r.AcceptedAt,
			DecidedAt: r.DecidedAt, Channels: channels[r.Refund.RefundID]})
	}
	return page, nil
}

func describeOrder(record ledger.OrderRecord, refunds OrderRefundsPage) Order {
	o := &record.Order
	remaining := o.Remaining()
	order := Order{OrderID: o.ID, UserID: o.UserID, MerchantID: o.MerchantID, CapturedAt: record.CapturedAt, Captured: o.Captured(),
		Refunded: o.Captured().Sub(remaining), Refundable: remaining, Legs: make([]OrderLeg, len(o.Legs)),
		Lines: make([]OrderLine, len(o.Lines)), Refunds: refunds}
	for i, leg := range o.Legs {
		order.Legs[i] = OrderLeg{Leg: i, Source: leg.Source, ChannelTxnID: leg.ChannelTxnID, Captured: leg.Captured, Refunded: leg.Refunded,
			Refundable: leg.Remaining()}
	}
	for i := range o.Lines {
		line := &o.Lines[i]
		order.Lines[i] = OrderLine{LineID: line.ID, Kind: line.Kind, Amount: line.Amount, Paid: sumOf(line.Allocated),
			Refunded: sumOf(line.Refunded), Refundable: money.Min(refund.LineRemaining(line), remaining)}
	}
	return order
}

func sumOf(amounts []money.Amount) money.Amount {
	var sum money.Amount
	for _, amount := range amounts {
		sum = sum.Add(amount)
	}
	return sum
}
