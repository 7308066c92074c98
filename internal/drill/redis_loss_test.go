package drill_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/drill"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/redisurl"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// system is books with a Redis, and a worker when the test starts one.
func system(t *testing.T) (*ledgertest.Books, *redis.Client, *tasks.Client) {
	t.Helper()
	return systemAt(t, redistest.New(t).URL)
}

func systemAt(t *testing.T, url string) (*ledgertest.Books, *redis.Client, *tasks.Client) {
	t.Helper()
	books := ledgertest.OpenOn(t, pgtest.New(t))
	client, err := worker.OpenRedisURL(url, nil)
	if err != nil {
		t.Fatal(err)
	}
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
	d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Loss: drill.Flush(client), Requests: 400, Patience: time.Minute, Clock: clock.System}
	report, err := d.Run(t.Context())
	if err != nil || !report.OK() || report.Accepted != 400 || report.Recovery <= 0 {
		t.Errorf("report %+v, %v", report, err)
	}
}

// away is how long Redis is away in the tests.
const away = 2 * time.Second

// While Redis answers nobody, or is not there at all, requests are accepted as ever.
func TestRequestsAreAcceptedWhileRedisIsAwayAndAllAreApplied(t *testing.T) {
	t.Parallel()
	for name, loss := range map[string]func(*redis.Client, *devstack.Redis) drill.Loss{
		"frozen": func(client *redis.Client, _ *devstack.Redis) drill.Loss {
			return drill.Freeze(client, away, clock.System)
		},
		"killed": func(_ *redis.Client, server *devstack.Redis) drill.Loss { return drill.Kill(server) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.New(t)
			books, client, producer := systemAt(t, server.URL)
			start(t, books, client, producer)
			d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Loss: loss(client, server), Requests: 400, Outage: away,
				Patience: time.Minute, Clock: clock.System}
			report, err := d.Run(t.Context())
			if err != nil || !report.OK() || report.Accepted != 400 || report.Away == 0 || report.Outage < away || report.Outstanding == 0 ||
				report.Recovery <= 0 {
				t.Errorf("report %+v, %v", report, err)
			}
		})
	}
}

func TestAFailoverUnderAWorkerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	watched := redistest.StartWatched(t)
	books, client, producer := systemAt(t, watched.URL)
	start(t, books, client, producer)
	server, err := redisurl.Parse(watched.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Loss: drill.Failover(server, client, clock.System), Requests: 400,
		Patience: time.Minute, Clock: clock.System}
	report, err := d.Run(t.Context())
	if err != nil || !report.OK() || report.Accepted != 400 || report.Outage <= 0 {
		t.Errorf("report %+v, %v", report, err)
	}
	if now, err := server.Master(t.Context()); err != nil || !strings.Contains(watched.Replica.URL, now) {
		t.Errorf("the master is %s, %v", now, err)
	}
}

func TestALossThatFailsEndsTheDrill(t *testing.T) {
	t.Parallel()
	books, _, producer := system(t)
	server, err := redisurl.Parse("redis://127.0.0.1:1/0")
	if err != nil {
		t.Fatal(err)
	}
	d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Loss: drill.Failover(server, nil, clock.System), Requests: 20,
		Outage: time.Hour, Patience: time.Minute, Clock: clock.System}
	if _, err := d.Run(t.Context()); !errors.Is(err, redisurl.ErrNotWatched) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAWorkerEverythingIsLost(t *testing.T) {
	t.Parallel()
	books, client, producer := system(t)
	d := drill.RedisLoss{Client: producer, Pool: books.DB.Pool, Loss: drill.Flush(client), Requests: 20, Patience: time.Millisecond, Clock: clock.System}
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
	d := drill.RedisLoss{Name: "t1", Client: producer, Pool: books.DB.Pool, Loss: drill.Flush(client), Requests: 10, Patience: time.Minute,
		Clock: clock.System}
	report, err := d.Run(t.Context())
	if err != nil || report.Doubled != 1 || report.Lost != 0 {
		t.Errorf("report %+v, %v; want one doubled account", report, err)
	}
}
