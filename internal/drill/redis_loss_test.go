package drill_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/drill"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// system is books with a Redis, and a worker when the test starts one.
func system(t *testing.T) (*ledgertest.Books, *redis.Client, *tasks.Client) {
	t.Helper()
	books := ledgertest.OpenOn(t, pgtest.New(t))
	options, err := redis.ParseURL(redistest.New(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	producer, err := tasks.NewClient(t.Context(), books.DB.Pool, tasks.NewDoorbell(client), tasks.ClientConfig{Producer: "drill"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	return books, client, producer
}

func start(t *testing.T, books *ledgertest.Books, client *redis.Client, producer *tasks.Client) {
	t.Helper()
	w, err := worker.New(t.Context(), worker.Config{Ledger: books.Ledger, Client: producer, Pool: books.DB.Pool, Redis: client,
		Servers: map[tasks.Queue]int{tasks.Low: 1}, Concurrency: 4, RelayInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func TestLosingRedisUnderAWorkerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	books, client, producer := system(t)
	start(t, books, client, producer)
	d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Redis: client, Requests: 400, Patience: time.Minute, Clock: clock.System}
	report, err := d.Run(t.Context())
	if err != nil || !report.OK() || report.Accepted != 400 || report.Recovery <= 0 {
		t.Errorf("report %+v, %v", report, err)
	}
}

func TestWithoutAWorkerEverythingIsLost(t *testing.T) {
	t.Parallel()
	books, client, producer := system(t)
	d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Redis: client, Requests: 20, Patience: time.Millisecond, Clock: clock.System}
	report, err := d.Run(t.Context())
	if err != nil || report.OK() || report.Lost != 20 || report.Outstanding < 10 || report.Recovery != 0 {
		t.Errorf("report %+v, %v", report, err)
	}
}

func TestAnAccountWithMoreThanItsRewardsIsDoubled(t *testing.T) {
	t.Parallel()
	books, client, producer := system(t)
	ledgertest.Applied(t, books.Do(t, ledgertest.Reward("extra", "drill-t1-u0", "0.05"))...)
	start(t, books, client, producer)
	d := drill.RedisLoss{Name: "t1", Client: producer, Pool: books.DB.Pool, Redis: client, Requests: 10, Patience: time.Minute,
		Clock: clock.System}
	report, err := d.Run(t.Context())
	if err != nil || report.Doubled != 1 || report.Lost != 0 {
		t.Errorf("report %+v, %v; want one doubled account", report, err)
	}
}
