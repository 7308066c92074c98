package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// noon is what the couriers' clocks read until a test moves them.
var noon = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)

// producer is who asks for what ledgertest's books are asked for.
const producer = "test"

// world is books, and what a test tells of them.
type world struct {
	*ledgertest.Books
	registry *Registry
	clock    *clock.Manual
	log      *logBuffer
}

func newWorld(t *testing.T, options ...pgtest.Option) *world {
	t.Helper()
	books := ledgertest.OpenOn(t, pgtest.New(t, options...))
	return &world{Books: books, registry: &Registry{Pool: books.DB.Owner, Guard: Guard{AllowPrivate: true}}, clock: clock.NewManual(noon),
		log: &logBuffer{}}
}

// courier is a courier that may call loopback addresses. The test calls its rounds.
func (w *world) courier(t *testing.T) *Courier {
	t.Helper()
	c := NewCourier(Config{Pool: w.DB.Pool, Guard: Guard{AllowPrivate: true}, Clock: w.clock, Registerer: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	t.Cleanup(func() {
		c.running.Wait()
		c.client.CloseIdleConnections()
	})
	return c
}

// round runs one round of a courier, and waits for its deliveries.
func round(t *testing.T, c *Courier) {
	t.Helper()
	if _, err := c.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.running.Wait()
}

func (w *world) add(t *testing.T, url string, events ...Event) (Endpoint, Secret) {
	t.Helper()
	e, secret, err := w.registry.Add(t.Context(), NewEndpoint{Producer: producer, URL: url, Events: events, By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return e, secret
}

// exec changes the database behind everybody's back.
func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := w.DB.Owner.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// passes makes everything due that is due within d, and ends leases that end by then.
func (w *world) passes(t *testing.T, d time.Duration) {
	t.Helper()
	w.exec(t, "UPDATE webhook_messages SET next_try_at = next_try_at - $1::interval WHERE state = 'waiting'", d)
	w.exec(t, "UPDATE webhook_endpoints SET rests_until = rests_until - $1::interval", d)
	w.clock.Advance(d)
}

func (w *world) messages(t *testing.T, e Endpoint) []Sent {
	t.Helper()
	list, err := w.registry.Messages(t.Context(), e.ID, 1, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// told are an endpoint's messages as "sequence event key state".
func (w *world) told(t *testing.T, e Endpoint) []string {
	t.Helper()
	var list []string
	for _, m := range w.messages(t, e) {
		list = append(list, fmt.Sprintf("%d %s %s %s", m.Sequence, m.Event, m.Key, m.State))
	}
	return list
}

func (w *world) gatherAll(t *testing.T) {
	t.Helper()
	if _, err := w.courier(t).gatherAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rewards asks for n rewards of a cent, of users who live in different books, and has them applied.
func (w *world) rewards(t *testing.T, prefix string, n int) {
	t.Helper()
	payloads := make([]tasks.Payload, n)
	for i := range payloads {
		payloads[i] = ledgertest.Reward(fmt.Sprintf("%s%d", prefix, i+1), fmt.Sprintf("u%d", i+1), "0.01")
	}
	ledgertest.Applied(t, w.Apply(t, w.Accept(t, payloads...)...)...)
}

// tracedPool is a pool of a process of its own.
func (w *world) tracedPool(t *testing.T, tracer pgx.QueryTracer) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), w.DB.URL, postgres.MaxConns(ConnsWanted),
		postgres.Configure(func(c *pgxpool.Config) { c.ConnConfig.Tracer = tracer }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// eventually waits until a statement answers true.
func (w *world) eventually(t *testing.T, what, sql string) {
	t.Helper()
	const patience = 60 * time.Second
	end := clock.System.After(patience)
	for done := false; !done; {
		if err := w.DB.Owner.QueryRow(t.Context(), sql).Scan(&done); err != nil {
			t.Fatal(err)
		}
		select {
		case <-clock.System.After(5 * time.Millisecond):
		case <-end:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// received is one request that a receiver got.
type received struct {
	header  http.Header
	body    []byte
	message Message
}

func (r received) id() string { return r.header.Get("Webhook-Id") }

// receiver is a producer's server.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	got    []received
	answer http.HandlerFunc
}

// newReceiver answers 204 until the test says otherwise.
func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{answer: answering(http.StatusNoContent)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	got := received{header: request.Header, body: body}
	if err == nil {
		err = json.Unmarshal(body, &got.message)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.got = append(r.got, got)
	answer := r.answer
	r.mu.Unlock()
	answer(w, request)
}

func (r *receiver) answers(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// take returns what was received since it was last called.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// sequences are those of what was received, in their order.
func sequences(got []received) []int64 {
	list := make([]int64, len(got))
	for i, g := range got {
		list[i] = g.message.Sequence
	}
	slices.Sort(list)
	return list
}

// upTo is 1, 2, 3 … n.
func upTo(n int) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = int64(i + 1)
	}
	return list
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// inBook finds a user who lives in a book.
func inBook(book int) string {
	for i := 0; ; i++ {
		if user := fmt.Sprintf("b%d", i); tasks.BookOf(user, 4) == book {
			return user
		}
	}
}

// withTimeout bounds what must not hang.
func withTimeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
