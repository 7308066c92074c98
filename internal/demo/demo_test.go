package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// insideWorker is a worker in this process. It cannot be killed.
type insideWorker struct {
	worker *worker.Worker
	books  *ledger.Ledger
	client *tasks.Client
	redis  *redis.Client
	pool   *pgxpool.Pool
}

func (*insideWorker) Name() string { return "the test's worker" }

func (*insideWorker) Kill() error { return errors.New("the test's worker cannot be killed") }

func (w *insideWorker) Stop(ctx context.Context) error {
	err := w.worker.Shutdown(ctx)
	w.books.Close()
	w.client.Close()
	w.pool.Close()
	return errors.Join(err, w.redis.Close())
}

func startInside(ctx context.Context, databaseURL, redisURL string) (_ Worker, err error) {
	w := &insideWorker{}
	options, err := worker.RedisOptions(redisURL, nil)
	if err != nil {
		return nil, err
	}
	w.redis = redis.NewClient(options)
	if w.pool, err = postgres.Open(ctx, databaseURL); err != nil {
		return nil, err
	}
	if w.client, err = tasks.NewClient(ctx, w.pool, tasks.NewDoorbell(w.redis), tasks.ClientConfig{Producer: "worker"}); err != nil {
		return nil, err
	}
	if w.books, err = ledger.Open(ctx, w.pool, ledger.Config{Rules: rules.All(), Ring: worker.RingThrough(w.client)}); err != nil {
		return nil, err
	}
	// A channel that cannot pay some refunds. One that does not answer would be asked again seconds later.
	simulator := channel.NewSimulator(channel.SimulatorConfig{FailedPerMille: 100})
	refunders := map[tasks.Source]channel.Refunder{}
	for _, source := range tasks.Channels() {
		refunders[source] = simulator
	}
	if w.worker, err = worker.New(ctx, worker.Config{Ledger: w.books, Client: w.client, Pool: w.pool, Redis: w.redis,
		Refunders: refunders}); err != nil {
		return nil, err
	}
	return w, w.worker.Start()
}

// playSmall plays a small demo on servers of the test's own.
func playSmall(ctx context.Context, t *testing.T, out io.Writer) error {
	t.Helper()
	db, server := pgtest.New(t), redistest.New(t)
	ledgertest.Audit(t, db)
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	ringing := redis.NewClient(options)
	t.Cleanup(func() { _ = ringing.Close() })
	return Run(ctx, Config{DatabaseURL: db.URL, RedisURL: server.URL, Users: 200, Requests: 1_000, Enrolled: 600, Seed: 3,
		Stack: []string{"servers of the test's own"}, Ready: time.Second, Workers: 1,
		StartWorker: func() (Worker, error) { return startInside(t.Context(), db.URL, server.URL) },
		Channels:    startChannels(t, db, tasks.NewDoorbell(ringing)),
		Screen:      Screen{Out: out}, Clock: clock.System})
}

func TestSmallDemoLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	err := playSmall(t.Context(), t, &written)
	out := written.String()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"channel/wechat/refunding    -> channel/wechat/clearing           6.00", // the channel's answer
		"rejected, exceeds_refundable",
		"Lin has cash 10.00 · reward 5.00 · xiaojinku 20.00",
		"\nlost 0 · doubled 0 · books balance\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not told in:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if columns := utf8.RuneCountInString(strings.TrimRight(line, "\n")); columns > columnsMax {
			t.Errorf("%d columns: %s", columns, line)
		}
	}
}

// tripwire is a writer that does something when a text is written for the first time.
type tripwire struct {
	text string
	trip func()
}

func (w *tripwire) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.text)) {
		w.trip()
	}
	return len(b), nil
}

func TestInterruptedDemoSaysWhy(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	wire := &tripwire{text: "asked  ", trip: func() { cancel(interrupted) }} // in the middle of the day
	if err := playSmall(ctx, t, wire); !errors.Is(err, interrupted) {
		t.Errorf("error %v, want the cause", err)
	}
	cancel(nil)
}
