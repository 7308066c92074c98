package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/tasks"
)

// ErrNoEndpoint says that there is no endpoint of that id.
var ErrNoEndpoint = errors.New("no such webhook endpoint")

// Endpoint is where a producer wants to be told.
type Endpoint struct {
	ID         string     `json:"id"`
	Producer   string     `json:"producer"`
	URL        string     `json:"url"`
	Events     []Event    `json:"events"`
	CreatedAt  time.Time  `json:"created_at"`
	DisabledAt *time.Time `json:"disabled_at,omitempty"`
	Because    string     `json:"disabled_because,omitempty"`
	Next       int64      `json:"next_sequence"`
	Waiting    int64      `json:"waiting"`
	Dead       int64      `json:"dead"`
}

// Registry keeps the endpoints. It writes as the owner of the tables: who may be told what is an operator's to say. It may be used by
// many goroutines at once.
type Registry struct {
	Owner *pgxpool.Pool
	Guard Guard
}

const addEndpointSQL = `
INSERT INTO webhook_endpoints (id, producer, url, events, secret)
VALUES ($1, $2, $3, $4, $5)
RETURNING created_at`

// Add makes an endpoint and its secret, which is shown once. It is told of outcomes from now on. It returns a *tasks.FieldError for a
// producer, URL or event that is not allowed. Twice makes two.
func (r *Registry) Add(ctx context.Context, producer, url string, events []Event) (Endpoint, Secret, error) {
	if err := tasks.CheckProducer(producer); err != nil {
		return Endpoint{}, nil, err
	}
	if err := checkEvents(events); err != nil {
		return Endpoint{}, nil, err
	}
	if err := r.Guard.checkURL(ctx, url); err != nil {
		return Endpoint{}, nil, err
	}
	secret, err := newSecret()
	if err != nil {
		return Endpoint{}, nil, err
	}
	e := Endpoint{ID: "we_" + strings.ReplaceAll(uuid.NewString(), "-", ""), Producer: producer, URL: url, Events: events, Next: 1}
	err = r.Owner.QueryRow(ctx, addEndpointSQL, e.ID, producer, url, texts(events), []byte(secret)).Scan(&e.CreatedAt)
	if err != nil {
		return Endpoint{}, nil, fmt.Errorf("store a webhook endpoint: %w", err)
	}
	return e, secret, nil
}

func checkEvents(events []Event) error {
	known := Events()
	if len(events) == 0 {
		return &tasks.FieldError{Field: "events", Problem: "is empty", Allowed: strings.Join(texts(known), ", ")}
	}
	for i, event := range events {
		if !slices.Contains(known, event) {
			return &tasks.FieldError{Field: fmt.Sprintf("events[%d]", i), Problem: "is unknown", Allowed: strings.Join(texts(known), ", ")}
		}
		if slices.Contains(events[:i], event) {
			return &tasks.FieldError{Field: fmt.Sprintf("events[%d]", i), Problem: "is given twice", Allowed: "each once"}
		}
	}
	return nil
}

func texts(events []Event) []string {
	list := make([]string, len(events))
	for i, event := range events {
		list[i] = string(event)
	}
	return list
}

const listEndpointsSQL = `
SELECT e.id, e.producer, e.url, e.events, e.created_at, e.disabled_at, coalesce(e.disabled_because, ''), e.next_sequence,
       (SELECT count(*) FROM webhook_messages m WHERE m.endpoint_id = e.id AND m.state = 'waiting'),
       (SELECT count(*) FROM webhook_messages m WHERE m.endpoint_id = e.id AND m.state = 'dead')
FROM webhook_endpoints e
WHERE $1 = '' OR e.producer = $1
ORDER BY e.created_at, e.id`

// Endpoints lists the endpoints of a producer, or all of them when producer is empty, oldest first.
func (r *Registry) Endpoints(ctx context.Context, producer string) ([]Endpoint, error) {
	rows, err := r.Owner.Query(ctx, listEndpointsSQL, producer)
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Endpoint])
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	return list, nil
}

const disableEndpointSQL = `
UPDATE webhook_endpoints
SET disabled_at = clock_timestamp(), disabled_because = $2
WHERE id = $1 AND disabled_at IS NULL`

// Disable stops an endpoint: nothing more becomes a message of it, and what waits is kept. Disabling it twice changes nothing.
func (r *Registry) Disable(ctx context.Context, id, because string) error {
	tag, err := r.Owner.Exec(ctx, disableEndpointSQL, id, because)
	if err != nil {
		return fmt.Errorf("disable webhook endpoint %s: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return r.exists(ctx, id)
	}
	return nil
}

const enableEndpointSQL = `UPDATE webhook_endpoints SET disabled_at = NULL, disabled_because = NULL WHERE id = $1`

// Enable lets a disabled endpoint be told again, first of what waits. Outcomes that were decided meanwhile are not told.
func (r *Registry) Enable(ctx context.Context, id string) error {
	return r.change(ctx, id, enableEndpointSQL)
}

const rotateSecretSQL = `
UPDATE webhook_endpoints
SET previous_secret = secret, previous_secret_until = clock_timestamp() + $3, secret = $2
WHERE id = $1`

// Rotate gives an endpoint a new secret. For the time overlap, messages are signed with both.
func (r *Registry) Rotate(ctx context.Context, id string, overlap time.Duration) (Secret, error) {
	secret, err := newSecret()
	if err != nil {
		return nil, err
	}
	return secret, r.change(ctx, id, rotateSecretSQL, []byte(secret), overlap)
}

const redeliverSQL = `
UPDATE webhook_messages
SET state = 'waiting', next_try_at = clock_timestamp(), attempts = 0, ended_at = NULL
WHERE endpoint_id = $1 AND sequence BETWEEN $2 AND $3`

// Redeliver lets an endpoint's messages from..to be delivered once more, whatever became of them; to 0 means the newest. It returns how
// many there are. It may be called twice: each call delivers them again.
func (r *Registry) Redeliver(ctx context.Context, id string, from, to int64) (int64, error) {
	if to == 0 {
		to = 1<<63 - 1
	}
	if from < 1 || to < from {
		return 0, &tasks.FieldError{Field: "from", Problem: fmt.Sprintf("is %d, to %d", from, to), Allowed: "1 or more, and not above to"}
	}
	if err := r.exists(ctx, id); err != nil {
		return 0, err
	}
	tag, err := r.Owner.Exec(ctx, redeliverSQL, id, from, to)
	if err != nil {
		return 0, fmt.Errorf("redeliver messages of %s: %w", id, err)
	}
	return tag.RowsAffected(), nil
}

func (r *Registry) change(ctx context.Context, id, sql string, more ...any) error {
	tag, err := r.Owner.Exec(ctx, sql, append([]any{id}, more...)...)
	if err != nil {
		return fmt.Errorf("change webhook endpoint %s: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("%w: %q", ErrNoEndpoint, id)
	}
	return nil
}

const endpointExistsSQL = `SELECT EXISTS (SELECT FROM webhook_endpoints WHERE id = $1)`

func (r *Registry) exists(ctx context.Context, id string) error {
	var there bool
	if err := r.Owner.QueryRow(ctx, endpointExistsSQL, id).Scan(&there); err != nil {
		return fmt.Errorf("look for webhook endpoint %s: %w", id, err)
	}
	if !there {
		return fmt.Errorf("%w: %q", ErrNoEndpoint, id)
	}
	return nil
}

const messagesSQL = `
SELECT sequence, event, state, attempts, coalesce(last_status, 0), coalesce(last_problem, ''), created_at, next_try_at, ended_at
FROM webhook_messages
WHERE endpoint_id = $1 AND sequence >= $2 AND ($3 = '' OR state = $3)
ORDER BY sequence
LIMIT $4`

// Sent is a message as an operator sees it.
type Sent struct {
	Sequence  int64      `json:"sequence"`
	Event     Event      `json:"event"`
	State     string     `json:"state"` // waiting, delivered or dead
	Attempts  int        `json:"attempts"`
	Status    int        `json:"last_status,omitempty"`
	Problem   string     `json:"last_problem,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	NextTryAt time.Time  `json:"next_try_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// Messages lists an endpoint's messages from a sequence on, in a state, or in any when state is empty.
func (r *Registry) Messages(ctx context.Context, id string, from int64, state string, limit int) ([]Sent, error) {
	rows, err := r.Owner.Query(ctx, messagesSQL, id, from, state, limit)
	if err != nil {
		return nil, fmt.Errorf("list messages of %s: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Sent])
	if err != nil {
		return nil, fmt.Errorf("list messages of %s: %w", id, err)
	}
	return list, nil
}
