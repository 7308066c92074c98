package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/tasks"
)

var (
	// ErrNoEndpoint says that there is no endpoint of that id.
	ErrNoEndpoint = errors.New("no such webhook endpoint")
	// ErrTooManyEndpoints says that a producer has as many endpoints as it may make itself.
	ErrTooManyEndpoints = errors.New("producer has as many webhook endpoints as it may have")
	// ErrNoBooks says that the ledger has no books yet, so that nobody can be told from when on.
	ErrNoBooks = errors.New("there are no books yet; run `settled migrate` first")
)

// Endpoint is where a producer wants to be told.
type Endpoint struct {
	ID         string     `json:"id"`
	Producer   string     `json:"producer"`
	URL        string     `json:"url"`
	Events     []Event    `json:"events"`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	DisabledAt *time.Time `json:"disabled_at,omitempty"`
	Because    string     `json:"disabled_because,omitempty"`
	Next       int64      `json:"next_sequence"`
	Waiting    int64      `json:"waiting"`
	Dead       int64      `json:"dead"`
	// State says whether it is called.
	State EndpointState `json:"state"`
	// DeliveredTo is the last sequence up to which every message is delivered.
	DeliveredTo int64 `json:"delivered_to"`
	// Problem is what the last try came to of the first message that waits, or of the newest dead one.
	Problem string `json:"last_problem,omitempty"`
}

// EndpointState says whether an endpoint is called.
type EndpointState string

// The states of an endpoint.
const (
	EndpointEnabled  EndpointState = "enabled"
	EndpointDisabled EndpointState = "disabled" // by a person: nothing becomes a message of it
	EndpointGone     EndpointState = "gone"     // by its answer of 410: its messages wait for a person
)

// NewEndpoint says what an endpoint is to be.
type NewEndpoint struct {
	// Producer is whose outcomes are told: an id. Required.
	Producer string
	// URL is where they go; Guard says which are allowed. Required.
	URL string
	// Events are what is told, at least one of Events.
	Events []Event
	// By is who makes it. Required.
	By string
}

// Registry keeps the endpoints, and shows their messages. It may be used by many goroutines at once.
type Registry struct {
	// Pool acts as the service, or as the owner of the tables. Required.
	Pool *pgxpool.Pool
	// Guard says which addresses an endpoint may have.
	Guard Guard
}

// beginCursorsSQL begins where the books stand when the first endpoint is made.
const beginCursorsSQL = `
INSERT INTO webhook_cursors (book, decided_at)
SELECT book, decided_at FROM books ORDER BY book
ON CONFLICT ON CONSTRAINT webhook_cursor_is_one_per_book DO NOTHING`

// lockCursorsSQL keeps gatherers away, in the order of the books: what they have seen by then is earlier than the endpoint, and what they
// see afterwards they see with it.
const lockCursorsSQL = `SELECT FROM webhook_cursors ORDER BY book FOR UPDATE`

// addEndpointSQL reads where the books stand after the cursors were locked.
const addEndpointSQL = `
INSERT INTO webhook_endpoints (id, producer, url, events, secret, created_by, told_since)
SELECT $1, $2, $3, $4::text[], $5::bytea, $6, array_agg(decided_at ORDER BY book) FROM books HAVING count(*) > 0
RETURNING created_at`

// Add makes an endpoint and its secret, which is shown once. It is told of outcomes from now on. It returns a *tasks.FieldError for
// what is not allowed, or ErrNoBooks. Twice makes two.
func (r *Registry) Add(ctx context.Context, asked NewEndpoint) (Endpoint, Secret, error) {
	if err := r.check(ctx, asked); err != nil {
		return Endpoint{}, nil, err
	}
	var e Endpoint
	var secret Secret
	err := r.amongGatherers(ctx, func(tx pgx.Tx) (err error) {
		e, secret, err = add(ctx, tx, asked)
		return err
	})
	if err != nil {
		return Endpoint{}, nil, wrongAddition(err)
	}
	return e, secret, nil
}

func (r *Registry) check(ctx context.Context, asked NewEndpoint) error {
	if err := errors.Join(tasks.CheckProducer(asked.Producer), checkEvents(asked.Events), tasks.CheckText("by", asked.By)); err != nil {
		return err
	}
	return r.Guard.checkURL(ctx, asked.URL)
}

// add stores an endpoint while nobody gathers.
func add(ctx context.Context, tx pgx.Tx, asked NewEndpoint) (Endpoint, Secret, error) {
	secret := newSecret()
	e := Endpoint{ID: "we_" + strings.ReplaceAll(uuid.NewString(), "-", ""), Producer: asked.Producer, URL: asked.URL,
		Events: asked.Events, CreatedBy: asked.By, Next: 1, State: EndpointEnabled}
	err := tx.QueryRow(ctx, addEndpointSQL, e.ID, e.Producer, e.URL, texts(e.Events), []byte(secret), e.CreatedBy).Scan(&e.CreatedAt)
	return e, secret, err
}

func wrongAddition(err error) error {
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNoBooks
	case errors.Is(err, ErrTooManyEndpoints):
		return err
	default:
		return fmt.Errorf("store a webhook endpoint: %w", err)
	}
}

// EndpointsMax is how many endpoints of one producer AddOnce makes. Disabled ones count: what they were sent is kept.
const EndpointsMax = 50

// sameEndpointSQL finds a producer's oldest endpoint of that URL and those events, in whichever order, and counts all that it has.
const sameEndpointSQL = `
SELECT coalesce((SELECT id
                 FROM webhook_endpoints
                 WHERE producer = $1 AND url = $2 AND events @> $3::text[] AND events <@ $3::text[]
                 ORDER BY created_at, id
                 LIMIT 1), ''),
       (SELECT count(*) FROM webhook_endpoints WHERE producer = $1)`

// AddOnce makes an endpoint as Add does, unless its producer has one of the same URL and events: then that one is returned as it is,
// perhaps disabled, without its secret, which nobody is shown again. It may be called twice and at once. It returns ErrTooManyEndpoints
// when the producer has EndpointsMax, and what Add returns.
func (r *Registry) AddOnce(ctx context.Context, asked NewEndpoint) (Endpoint, Secret, error) {
	if err := r.check(ctx, asked); err != nil {
		return Endpoint{}, nil, err
	}
	var there string
	var all int
	look := func(q interface {
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}) error {
		return q.QueryRow(ctx, sameEndpointSQL, asked.Producer, asked.URL, texts(asked.Events)).Scan(&there, &all)
	}
	err := look(r.Pool) // who asks again takes no lock
	var e Endpoint
	var secret Secret
	if err == nil && there == "" {
		err = r.amongGatherers(ctx, func(tx pgx.Tx) error {
			if err := look(tx); err != nil || there != "" {
				return err
			}
			if all >= EndpointsMax {
				return ErrTooManyEndpoints
			}
			e, secret, err = add(ctx, tx, asked)
			return err
		})
	}
	switch {
	case err != nil:
		return Endpoint{}, nil, wrongAddition(err)
	case there != "":
		e, err = r.Find(ctx, there)
	}
	return e, secret, err
}

// amongGatherers runs change in a transaction while nobody gathers.
func (r *Registry) amongGatherers(ctx context.Context, change func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, r.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, beginCursorsSQL); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockCursorsSQL); err != nil {
			return err
		}
		return change(tx)
	})
}

func checkEvents(events []Event) error {
	known := Events()
	refuse := func(problem string) error {
		return &tasks.FieldError{Field: "event", Problem: problem, Allowed: "each at most once of " + strings.Join(texts(known), ", ")}
	}
	if len(events) == 0 {
		return refuse("is missing")
	}
	for i, event := range events {
		if !slices.Contains(known, event) {
			return refuse("has a name that is no event")
		}
		if slices.Contains(events[:i], event) {
			return refuse("names " + string(event) + " twice")
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

const disableEndpointSQL = `
UPDATE webhook_endpoints
SET disabled_at = clock_timestamp(), disabled_because = $2, gone = false
WHERE id = $1 AND (disabled_at IS NULL OR gone)`

// Disable stops an endpoint for good: nothing more becomes a message of it, and what waits is kept. One that its answer of 410 has
// disabled is a person's from then on. Disabling it twice changes nothing. It returns ErrNoEndpoint, or a *tasks.FieldError when because
// or by is not allowed.
func (r *Registry) Disable(ctx context.Context, id, because, by string) error {
	if err := errors.Join(tasks.CheckText("because", because), tasks.CheckText("by", by)); err != nil {
		return err
	}
	tag, err := r.Pool.Exec(ctx, disableEndpointSQL, storableID(id), because+" ("+by+")")
	if err == nil && tag.RowsAffected() == 0 {
		return r.exists(ctx, id)
	}
	return changed(tag, err)
}

// enableEndpointSQL leaves an endpoint that is gone where it began: its outcomes became messages all along.
const enableEndpointSQL = `
UPDATE webhook_endpoints
SET disabled_at = NULL, disabled_because = NULL, gone = false, rests_until = 'epoch',
    told_since = CASE WHEN gone THEN told_since ELSE (SELECT array_agg(decided_at ORDER BY book) FROM books) END
WHERE id = $1 AND disabled_at IS NOT NULL`

// Enable lets a disabled endpoint be told again: what waits, and outcomes from now on. Those that were decided meanwhile are told when its
// answer of 410 had disabled it, and are not when a person had. Enabling it twice changes nothing. It returns ErrNoEndpoint.
func (r *Registry) Enable(ctx context.Context, id string) error {
	return r.amongGatherers(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, enableEndpointSQL, storableID(id))
		if err == nil && tag.RowsAffected() == 0 {
			return r.exists(ctx, id)
		}
		return changed(tag, err)
	})
}

const rotateSecretSQL = `
UPDATE webhook_endpoints
SET previous_secret = secret, previous_secret_until = clock_timestamp() + $3, secret = $2
WHERE id = $1`

// OverlapMax is the longest that a replaced secret goes on signing.
const OverlapMax = 30 * 24 * time.Hour

// Rotate gives an endpoint a new secret. For the time overlap, messages are signed with both; a secret that was replaced before signs no
// more. Twice makes two. It returns ErrNoEndpoint, or a *tasks.FieldError.
func (r *Registry) Rotate(ctx context.Context, id string, overlap time.Duration) (Secret, error) {
	if overlap < 0 || overlap > OverlapMax {
		return nil, &tasks.FieldError{Field: "overlap", Problem: "is " + overlap.String(), Allowed: "0s to " + OverlapMax.String()}
	}
	secret := newSecret()
	if err := changed(r.Pool.Exec(ctx, rotateSecretSQL, storableID(id), []byte(secret), overlap)); err != nil {
		return nil, err
	}
	return secret, nil
}

// changed is the error of a statement that changes one endpoint.
func changed(tag pgconn.CommandTag, err error) error {
	if err != nil {
		return fmt.Errorf("change a webhook endpoint: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoEndpoint
	}
	return nil
}

const endpointExistsSQL = `SELECT EXISTS (SELECT FROM webhook_endpoints WHERE id = $1)`

func (r *Registry) exists(ctx context.Context, id string) error {
	var there bool
	if err := r.Pool.QueryRow(ctx, endpointExistsSQL, storableID(id)).Scan(&there); err != nil {
		return fmt.Errorf("look for a webhook endpoint: %w", err)
	}
	if !there {
		return ErrNoEndpoint
	}
	return nil
}

// storableID is no endpoint's id when the text has bytes that PostgreSQL refuses.
func storableID(id string) string {
	if !utf8.ValidString(id) || strings.Contains(id, "\x00") {
		return ""
	}
	return id
}
