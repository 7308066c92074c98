package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// EndpointPosition is an endpoint's place in a list of them. The zero value is before all of them.
type EndpointPosition struct {
	CreatedAt time.Time
	ID        string
}

// EndpointQuery asks for one page of endpoints.
type EndpointQuery struct {
	// Producer is whose endpoints are listed. Empty is everybody's.
	Producer string
	// After is the place of the last endpoint of the page before.
	After EndpointPosition
	// Limit is how many are listed, at least 1.
	Limit int
	// CountMax is how many messages of an endpoint are counted at most, of those that wait and of those that are dead. 0 is all of them.
	CountMax int

	id string // this one alone; empty for all
}

// endpointsSQL walks what waits and what is dead by indexes of their own: however much was delivered, it costs the same.
const endpointsSQL = `
SELECT e.id, e.producer, e.url, e.events, e.created_at, e.created_by, e.disabled_at, coalesce(e.disabled_because, ''), e.next_sequence,
       (SELECT count(*) FROM (SELECT FROM webhook_messages WHERE endpoint_id = e.id AND state = 'waiting' LIMIT nullif($6, 0)) w),
       (SELECT count(*) FROM (SELECT FROM webhook_messages WHERE endpoint_id = e.id AND state = 'dead' LIMIT nullif($6, 0)) d),
       CASE WHEN e.disabled_at IS NULL THEN 'enabled' WHEN e.gone THEN 'gone' ELSE 'disabled' END,
       least(waiting.sequence, dead.sequence, e.next_sequence) - 1,
       coalesce(waiting.last_problem, (SELECT last_problem
                                       FROM webhook_messages
                                       WHERE endpoint_id = e.id AND state = 'dead'
                                       ORDER BY sequence DESC
                                       LIMIT 1), '')
FROM (
    SELECT *
    FROM webhook_endpoints
    WHERE ($1 = '' OR producer = $1) AND ($2 = '' OR id = $2) AND (created_at, id) > ($3, $4)
    ORDER BY created_at, id
    LIMIT $5
) e
LEFT JOIN LATERAL (
    SELECT sequence, last_problem FROM webhook_messages WHERE endpoint_id = e.id AND state = 'waiting' ORDER BY sequence LIMIT 1
) waiting ON true
LEFT JOIN LATERAL (
    SELECT sequence FROM webhook_messages WHERE endpoint_id = e.id AND state = 'dead' ORDER BY sequence LIMIT 1
) dead ON true
ORDER BY e.created_at, e.id`

// EndpointPage reads one page of endpoints, oldest first.
func (r *Registry) EndpointPage(ctx context.Context, query EndpointQuery) ([]Endpoint, error) {
	rows, err := r.Pool.Query(ctx, endpointsSQL, query.Producer, storableID(query.id), query.After.CreatedAt, storableID(query.After.ID),
		query.Limit, query.CountMax)
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Endpoint])
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	return list, nil
}

// endpointsAtOnce is how many endpoints Endpoints reads by one statement.
const endpointsAtOnce = 500

// Endpoints lists the endpoints of a producer, or all of them when producer is empty, oldest first.
func (r *Registry) Endpoints(ctx context.Context, producer string) ([]Endpoint, error) {
	list := []Endpoint{}
	query := EndpointQuery{Producer: producer, Limit: endpointsAtOnce}
	for {
		page, err := r.EndpointPage(ctx, query)
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if len(page) < query.Limit {
			return list, nil
		}
		query.After = page[len(page)-1].Position()
	}
}

// Position is the endpoint's place in a list.
func (e *Endpoint) Position() EndpointPosition {
	return EndpointPosition{CreatedAt: e.CreatedAt, ID: e.ID}
}

// CountMax is how many messages of an endpoint Find counts at most, of those that wait and of those that are dead.
const CountMax = 10_000

// Find looks one endpoint up. It returns ErrNoEndpoint.
func (r *Registry) Find(ctx context.Context, id string) (Endpoint, error) {
	if storableID(id) == "" {
		return Endpoint{}, ErrNoEndpoint
	}
	list, err := r.EndpointPage(ctx, EndpointQuery{Limit: 1, CountMax: CountMax, id: id})
	switch {
	case err != nil:
		return Endpoint{}, err
	case len(list) == 0:
		return Endpoint{}, ErrNoEndpoint
	}
	return list[0], nil
}
