package tasks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
)

// ErrNoBooks says that the ledger was not created: run `settled migrate`.
var ErrNoBooks = errors.New("the ledger has no books; run `settled migrate`")

// ClientConfig configures a Client.
type ClientConfig struct {
	// Producer names who asks; it is stored with each request. Client.As asks for others. Required, an id.
	Producer string
	// RingSize is how many requests a ring names at most, 1 to 500. Defaults to 500.
	RingSize int
	// RingAfter is how long the relay leaves a fresh request to the client's own ring. Defaults to 15 s: an unhurried worker has
	// served it by then, and a lost ring is found soon enough.
	RingAfter time.Duration
	// BatchMax is how many single requests one insert takes at most. Defaults to 500.
	BatchMax int
	// AnswerWithin is how long Enqueue waits for PostgreSQL at most, and a tenth of a second more. Defaults to 10 s: an acceptance takes
	// milliseconds; longer means that PostgreSQL is away, and the producer had better ask again.
	AnswerWithin time.Duration
	// Clock dates requests that carry no time. Defaults to the system's.
	Clock clock.Clock
	// OnRingError is told of rings that failed; the relay repeats them. Defaults to nothing.
	OnRingError func(error)
	// OnCommit is told of each insert that made single requests durable: how many there were, and how long PostgreSQL took for it with
	// its commit, which is what their callers waited for. It is called from the acceptors, one of which it holds up. Defaults to nothing.
	OnCommit func(requests int, took time.Duration)
}

// Client accepts requests for producers: one durable insert, then a ring. It may be used by many goroutines at once; single
// requests that arrive together share one insert and its commit.
type Client struct {
	*desk
	producer    string
	fromChannel bool // it asks what a channel has said
}

// desk is what a client and its views for other producers share.
type desk struct {
	pool   *pgxpool.Pool
	config ClientConfig
	books  int
	policy atomic.Pointer[Policy]
	group  *groupAccept
	ringer *Ringer
}

// NewClient makes a client over a pool and a doorbell that the caller owns. A nil doorbell rings nothing: the relay does. It
// returns ErrNoBooks when the ledger was not created, and a *FieldError for a producer's name that is not allowed. ctx alone bounds the
// opening.
func NewClient(ctx context.Context, pool *pgxpool.Pool, bell *Doorbell, config ClientConfig) (*Client, error) {
	var check fieldCheck
	check.id("producer", config.Producer)
	if config.RingSize < 0 || config.RingSize > RingIDsMax {
		check.refuse("ring size", fmt.Sprintf("is %d", config.RingSize), fmt.Sprintf("1 to %d", RingIDsMax))
	}
	if check.err != nil {
		return nil, check.err
	}
	config.RingSize = orDefault(config.RingSize, RingIDsMax)
	config.BatchMax = orDefault(config.BatchMax, 500)
	config.AnswerWithin = orDefault(config.AnswerWithin, 10*time.Second)
	config.RingAfter = orDefault(config.RingAfter, 15*time.Second)
	if config.OnCommit == nil {
		config.OnCommit = func(int, time.Duration) {}
	}
	if config.Clock == nil {
		config.Clock = clock.System
	}
	c := &Client{desk: &desk{pool: pool, config: config}, producer: config.Producer}
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM books").Scan(&c.books); err != nil {
		return nil, fmt.Errorf("count books: %w", err)
	}
	if c.books == 0 {
		return nil, ErrNoBooks
	}
	if err := c.reloadPolicy(ctx); err != nil {
		return nil, err
	}
	c.ringer = NewRinger(ctx, bell, config.RingSize, config.OnRingError)
	c.group = startGroupAccept(ctx, pool, config, c.ringer)
	return c, nil
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// As is a view of the client that asks for another producer. It shares all else: requests of many producers that arrive together
// share one insert and its commit. It costs nothing to make and is not closed. It returns a *FieldError for a producer's name that
// is not allowed.
func (c *Client) As(producer string) (*Client, error) {
	if err := CheckProducer(producer); err != nil {
		return nil, err
	}
	return &Client{desk: c.desk, producer: producer, fromChannel: c.fromChannel}, nil
}

// FromChannel is a view of the client that asks for what a channel has said in a notice whose signature was verified. It alone confirms
// recharges that have an order; who uses it answers for that. It is otherwise as As.
func (c *Client) FromChannel() *Client {
	return &Client{desk: c.desk, producer: c.producer, fromChannel: true}
}

// CheckProducer refuses what cannot be a producer's name, with a *FieldError: it is an id, as those on the wire.
func CheckProducer(name string) error {
	var check fieldCheck
	check.id("producer", name)
	if check.err != nil {
		return check.err
	}
	return nil
}

// Close waits for acceptances and rings under way, those of the client's views too. Enqueue must not be called after it.
func (c *Client) Close() {
	c.group.stop()
	c.ringer.Close()
}

// Ready returns an error while PostgreSQL does not answer, so that nothing could be accepted. It waits until ctx ends at most.
func (c *Client) Ready(ctx context.Context) error {
	if err := c.pool.Ping(ctx); err != nil {
		return fmt.Errorf("look for PostgreSQL: %w", err)
	}
	return nil
}

// Books is the number of books of the ledger.
func (c *Client) Books() int { return c.books }

// Enqueue accepts one request and rings. It returns after the commit; the ring follows on its own. The same payload may be
// enqueued again and at the same time: one is accepted, the others are replays with the stored outcome. It returns a *FieldError,
// a *ConflictError, or an error that leaves the acceptance unknown. An event may happen up to a day from now, by the client's clock, unless a
// channel says so or the request is stored already. It returns within AnswerWithin, twice that for a recharge, whose id is claimed first, or
// for an event too far ahead, which is looked up first, and by ctx's deadline if it has one; the payload may be read after that, and must not be changed.
func (c *Client) Enqueue(ctx context.Context, payload Payload) (Receipt, error) {
	request, err := c.Prepare(ctx, payload)
	if err != nil {
		return Receipt{}, err
	}
	late, err := c.lookAhead(ctx, c.pool, request)
	if err == nil {
		err = late.refuse(&request)
	}
	if err != nil {
		return Receipt{}, err
	}
	if request.Kind == RechargeConfirm {
		ordered, err := c.claimRecharges(ctx, c.pool, request)
		if err == nil {
			err = refuseOrdered(ordered, &request)
		}
		if err != nil {
			return Receipt{}, err
		}
	}
	receipt, err := c.group.accept(ctx, request)
	if err == nil && receipt.Status == Conflicting {
		err = &ConflictError{Receipt: receipt}
	}
	return receipt, err
}

// Item is the answer to one payload of EnqueueMany: a receipt, or the *FieldError that refused it.
type Item struct {
	Receipt Receipt
	Err     error
}

// EnqueueMany accepts many requests with one insert and rings in tasks of up to RingSize ids. Each payload is answered in its
// place: refused ones do not stop the others, conflicts have a receipt with that status. The error leaves all acceptances unknown.
func (c *Client) EnqueueMany(ctx context.Context, payloads []Payload) ([]Item, error) {
	items := make([]Item, len(payloads))
	requests := make([]Request, 0, len(payloads))
	places := make([]int, 0, len(payloads))
	look := c.lookAtPolicy(ctx)
	for i, payload := range payloads {
		request, err := c.prepare(payload, look)
		if err != nil {
			items[i].Err = err
			continue
		}
		requests, places = append(requests, request), append(places, i)
	}
	late, err := c.lookAhead(ctx, c.pool, requests...)
	if err != nil {
		return nil, err
	}
	requests, places = keep(requests, places, items, late.refuse)
	ordered, err := c.claimRecharges(ctx, c.pool, requests...)
	if err != nil {
		return nil, err
	}
	if len(ordered) > 0 {
		requests, places = keep(requests, places, items, func(r *Request) error { return refuseOrdered(ordered, r) })
	}
	if len(requests) == 0 {
		return items, nil
	}
	receipts, err := accept(ctx, c.pool, requests, c.config.RingAfter)
	if err != nil {
		return nil, err
	}
	for n, receipt := range receipts {
		items[places[n]].Receipt = receipt
	}
	c.ringer.ringAccepted(receipts)
	return items, nil
}

// keep refuses requests in their places, and returns the others with theirs.
func keep(requests []Request, places []int, items []Item, refuse func(*Request) error) ([]Request, []int) {
	kept := 0
	for n := range requests {
		if err := refuse(&requests[n]); err != nil {
			items[places[n]].Err = err
			continue
		}
		requests[kept], places[kept] = requests[n], places[n]
		kept++
	}
	return requests[:kept], places[:kept]
}

// EnqueueTx accepts requests inside the caller's transaction: they exist if and only if it commits. It cannot ring before that;
// after the commit call Ring, or let the relay find them. A *FieldError refuses all of them. The ids of recharges are held until the
// transaction ends: an order that is opened under one of them meanwhile waits for that.
func (c *Client) EnqueueTx(ctx context.Context, tx pgx.Tx, payloads ...Payload) ([]Receipt, error) {
	requests := make([]Request, len(payloads))
	look := c.lookAtPolicy(ctx)
	for i, payload := range payloads {
		request, err := c.prepare(payload, look)
		if err != nil {
			return nil, err
		}
		requests[i] = request
	}
	late, err := c.lookAhead(ctx, tx, requests...)
	if err != nil {
		return nil, err
	}
	for i := range requests {
		if err := late.refuse(&requests[i]); err != nil {
			return nil, err
		}
	}
	ordered, err := c.claimRecharges(ctx, tx, requests...)
	if err != nil {
		return nil, err
	}
	for i := range requests {
		if err := refuseOrdered(ordered, &requests[i]); err != nil {
			return nil, err
		}
	}
	return accept(ctx, tx, requests, c.config.RingAfter)
}

// Ring rings for accepted requests, without waiting. Receipts of other statuses are passed over.
func (c *Client) Ring(receipts ...Receipt) { c.ringer.ringAccepted(receipts) }

// Prepare validates a payload and gives it its identity, book and producer, without storing it. It returns a *FieldError.
func (c *Client) Prepare(ctx context.Context, payload Payload) (Request, error) {
	return c.prepare(payload, func() error { return c.reloadPolicyWithin(ctx, c.config.AnswerWithin) })
}

// lookAtPolicy reads the policy anew when it is first called, and tells the same of it from then on: it is for the payloads of one call.
func (c *Client) lookAtPolicy(ctx context.Context) func() error {
	return sync.OnceValue(func() error { return c.reloadPolicyWithin(ctx, c.config.AnswerWithin) })
}

func (c *Client) prepare(payload Payload, lookAtPolicy func() error) (Request, error) {
	if err := c.policy.Load().checkProduct(payload); err != nil {
		// The product may be newer than the policy read last.
		if lookErr := lookAtPolicy(); lookErr != nil {
			return Request{}, lookErr
		}
		if err := c.policy.Load().checkProduct(payload); err != nil {
			return Request{}, err
		}
	}
	if err := refuseBySettled(payload); err != nil {
		return Request{}, err
	}
	request, err := NewRequest(payload, c.books, c.config.Clock.Now())
	request.Producer = c.producer
	return request, err
}

func (c *Client) reloadPolicyWithin(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return c.reloadPolicy(ctx)
}

func (c *Client) reloadPolicy(ctx context.Context) error {
	policy, _, err := ScanPolicy(c.pool.QueryRow(ctx, NewestPolicySQL))
	if err != nil {
		return err
	}
	c.policy.Store(&policy)
	return nil
}
