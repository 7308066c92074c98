package bench

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// environment is a run's own database and queues on the servers that it was given.
type environment struct {
	name      string
	books     int
	owner     *pgxpool.Pool // of the server's own database
	ownerPool *pgxpool.Pool // of the run's database
	pool      *pgxpool.Pool
	redis     redis.UniversalClient
	doorbell  *tasks.Doorbell
	client    *tasks.Client // rings nothing
	cpu       *cpuMeter
}

// openEnvironment makes a database for the run. Redis is used as it is: the run empties it.
func openEnvironment(ctx context.Context, databaseURL, redisURL string, books int) (*environment, error) {
	e := &environment{name: "settled_bench_" + uuid.NewString()[:8], books: books}
	if err := e.open(ctx, databaseURL, redisURL); err != nil {
		e.close(ctx)
		return nil, err
	}
	return e, nil
}

// withoutAutovacuumSQL makes the statements that keep autovacuum from the run's tables: it would take half a core for as long as a round
// lasts, in one round and not in the next. settleTables does its work between the rounds.
const withoutAutovacuumSQL = `
SELECT format('ALTER TABLE %s SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)', oid::regclass)
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`

// leaveVacuumingToTheRun applies them. It is called before anybody else uses the tables.
func (e *environment) leaveVacuumingToTheRun(ctx context.Context) error {
	rows, err := e.ownerPool.Query(ctx, withoutAutovacuumSQL)
	if err != nil {
		return fmt.Errorf("look for the run's tables: %w", err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for the run's tables: %w", err)
	}
	for _, statement := range statements {
		if _, err := e.ownerPool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("keep autovacuum from a table: %w", err)
		}
	}
	return nil
}

func (e *environment) open(ctx context.Context, databaseURL, redisURL string) (err error) {
	if e.owner, err = postgres.OpenOwner(ctx, databaseURL, postgres.MaxConns(2)); err != nil {
		return err
	}
	if _, err := e.owner.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{e.name}.Sanitize()); err != nil {
		return fmt.Errorf("create the run's database: %w", err)
	}
	target, err := url.Parse(databaseURL)
	if err != nil {
		return fmt.Errorf("read DATABASE_URL: %w", err)
	}
	target.Path = "/" + e.name
	if err := postgres.Migrate(ctx, target.String(), postgres.MigrateOptions{Books: e.books}); err != nil {
		return err
	}
	if e.pool, err = postgres.Open(ctx, target.String(), postgres.MaxConns(32)); err != nil {
		return err
	}
	if e.ownerPool, err = postgres.OpenOwner(ctx, target.String(), postgres.MaxConns(4)); err != nil {
		return err
	}
	if err := e.leaveVacuumingToTheRun(ctx); err != nil {
		return err
	}
	options, err := worker.RedisOptions(redisURL, nil)
	if err != nil {
		return fmt.Errorf("read REDIS_URL: %w", err)
	}
	options.PoolSize = 64
	e.redis = worker.OpenRedis(options)
	e.doorbell = tasks.NewDoorbell(e.redis)
	if e.client, err = tasks.NewClient(ctx, e.pool, nil, tasks.ClientConfig{Producer: producerName, RingAfter: time.Hour}); err != nil {
		return err
	}
	e.cpu = newCPUMeter(ctx, e.pool, e.redis)
	return nil
}

func (e *environment) close(ctx context.Context) {
	if e.client != nil {
		e.client.Close()
	}
	if e.redis != nil {
		_ = e.redis.Close() // nothing of the run is read from it any more
	}
	if e.pool != nil {
		e.pool.Close()
	}
	if e.ownerPool != nil {
		e.ownerPool.Close()
	}
	if e.owner != nil {
		// The next run has a name of its own: a database that could not be dropped only takes room.
		_, _ = e.owner.Exec(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+pgx.Identifier{e.name}.Sanitize()+" WITH (FORCE)")
		e.owner.Close()
	}
}

// openLedger opens a ledger with every rule; what it makes due is rung by ring, and registry counts what it decides.
func (e *environment) openLedger(ctx context.Context, ring func([]tasks.Bell), registry prometheus.Registerer) (*ledger.Ledger, error) {
	return ledger.Open(ctx, e.pool, ledger.Config{Rules: rules.All(), Ring: ring, Registerer: registry})
}

// accept stores payloads in inserts of 500 and returns what to ring for.
func (e *environment) accept(ctx context.Context, payloads []tasks.Payload) ([]tasks.Bell, error) {
	bells := make([]tasks.Bell, 0, len(payloads))
	for len(payloads) > 0 {
		n := min(len(payloads), 500)
		items, err := e.client.EnqueueMany(ctx, payloads[:n])
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if item.Err != nil {
				return nil, item.Err
			}
			r := item.Receipt
			if r.Status != tasks.Accepted {
				return nil, fmt.Errorf("%s %q is %s, want accepted", r.Kind, r.Key, r.Status)
			}
			bells = append(bells, tasks.Bell{Kind: r.Kind, Book: r.Book, ID: r.ID})
		}
		payloads = payloads[n:]
	}
	return bells, nil
}

// applyAll applies accepted requests without a queue: for preparing a row.
func applyAll(ctx context.Context, l *ledger.Ledger, bells []tasks.Bell) error {
	byBook := map[int][]uuid.UUID{}
	for _, bell := range bells {
		byBook[bell.Book] = append(byBook[bell.Book], bell.ID)
	}
	errs := make(chan error, len(byBook))
	for book, ids := range byBook {
		go func() {
			for len(ids) > 0 {
				n := min(len(ids), 500)
				answers, err := l.Apply(ctx, book, ids[:n]...)
				if err == nil {
					err = allApplied(answers)
				}
				if err != nil {
					errs <- err
					return
				}
				ids = ids[n:]
			}
			errs <- nil
		}()
	}
	var first error
	for range byBook {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func allApplied(answers []ledger.Answer) error {
	for _, a := range answers {
		if a.Fate != ledger.Decided || a.Outcome.Result != tasks.Applied {
			return fmt.Errorf("a request of the measurement was %s: %s %s %s", a.Fate, a.Outcome.Reason, a.Outcome.Detail, a.Problem)
		}
	}
	return nil
}
