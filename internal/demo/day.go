package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/tasks"
)

// When mishaps happen, as parts of the day's requests. The worker dies first: what it had in hand waits for the relay, which the
// wiped Redis then tries as well.
const (
	killAt = 0.35
	wipeAt = 0.65
)

const (
	dayPoll     = 100 * time.Millisecond
	dayPatience = 90 * time.Second
)

// playMorning gives users what they will spend: what channels and campaigns have gathered over night comes in bulk.
func (r *run) playMorning(ctx context.Context) error {
	r.screen.title(fmt.Sprintf("A day: %s users, %s requests", grouped(r.config.Users), grouped(r.config.Requests)))
	r.plan = NewPlan(PlanConfig{Seed: r.config.Seed, Users: r.config.Users, Requests: r.config.Requests,
		Date: r.today})
	r.screen.line("  seed %d; %d producers ask through the Go client; %d worker processes apply", r.config.Seed, ProducersCount,
		len(r.workers))
	var asks []*Ask
	for _, scene := range r.plan.Morning {
		asks = append(asks, scene[0].Ask)
	}
	took, err := r.askAll(ctx, asks)
	if err != nil {
		return err
	}
	r.screen.line("  morning   %s recharges and rewards, asked in bulk, decided in %s", grouped(len(asks)), seconds(took))
	return nil
}

// playDay plays the plan with many producers, ends a worker and wipes Redis on the way, and waits until all is decided.
func (r *run) playDay(ctx context.Context) error {
	requests := r.config.Requests - len(r.plan.Morning)
	asking := &producers{client: r.client, channels: r.config.Channels, record: r.record, clock: r.clock, pace: newPace(r.config.Rate),
		seed: r.config.Seed}
	bar := r.screen.begin("asked", requests)
	defer bar.finish()
	r.load.start()
	if err := r.watch(ctx, bar, r.mishaps(requests), func(ctx context.Context) error { return asking.play(ctx, r.plan.Day) }); err != nil {
		return err
	}
	bar.finish()
	if err := r.config.Channels.settle(ctx, r.clock, dayPatience); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	r.load.stop()
	var err error
	if r.dayPace, err = readPace(ctx, r.pool, "day"); err != nil {
		return err
	}
	r.screen.line("  decided   %s requests, asked one by one, in %s", grouped(r.dayPace.Decided), seconds(r.dayPace.Took))
	told := r.config.Channels.told()
	r.screen.line("  recharged %s times through %d channels, whose signed notices came %s times", grouped(told.payments),
		len(tasks.Channels()), grouped(told.deliveries))
	return nil
}

// mishap is something that goes wrong once so many requests were asked.
type mishap struct {
	at     int
	happen func(context.Context) error
}

func (r *run) mishaps(requests int) []mishap {
	if !r.config.Mishaps {
		return nil
	}
	part := func(of float64) int { return int(of * float64(requests)) }
	return []mishap{{part(killAt), r.killWorker}, {part(wipeAt), r.wipeRedis}}
}

// watch runs work, shows how much was asked since, and lets mishaps happen.
func (r *run) watch(ctx context.Context, bar *bar, mishaps []mishap, work func(context.Context) error) error {
	before := r.record.Tally().Asked
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	for {
		select {
		case err := <-done:
			bar.set(r.record.Tally().Asked - before)
			return err
		case <-r.clock.After(dayPoll / 2):
		}
		asked := r.record.Tally().Asked - before
		bar.set(asked)
		if len(mishaps) > 0 && asked >= mishaps[0].at {
			if err := mishaps[0].happen(ctx); err != nil {
				cancel(err)
				return errors.Join(err, <-done)
			}
			mishaps = mishaps[1:]
		}
	}
}

// killWorker ends one worker process without warning. The others go on; when there is none, a new one is started.
func (r *run) killWorker(ctx context.Context) error {
	b, err := readBacklog(ctx, r.pool)
	if err != nil {
		return err
	}
	victim := r.workers[0]
	if err := victim.Kill(); err != nil {
		return err
	}
	next := "goes on"
	if r.workers = r.workers[1:]; len(r.workers) == 0 {
		if next, err = "is started", r.startWorker(); err != nil {
			return err
		}
	}
	r.screen.line("  ! %s killed with SIGKILL, while %s requests were undecided; %s %s", victim.Name(), grouped(b.accepted),
		r.workers[0].Name(), next)
	return nil
}

// wipeRedis loses every ring at once.
func (r *run) wipeRedis(ctx context.Context) error {
	b, err := readBacklog(ctx, r.pool)
	if err != nil {
		return err
	}
	// A Redis that is not the demo's own may have other databases, which are not the demo's to wipe.
	command, wipe := "FLUSHALL", r.redis.FlushAll
	if r.config.SharedRedis {
		command, wipe = "FLUSHDB", r.redis.FlushDB
	}
	if err := wipe(ctx).Err(); err != nil {
		return fmt.Errorf("wipe redis: %w", err)
	}
	r.screen.line("  ! Redis wiped with "+command+", while %s requests were undecided", grouped(b.accepted))
	return nil
}

// drain waits until all is decided, and shows how much is left. Running out of patience is for the verdict to judge.
func (r *run) drain(ctx context.Context) error {
	var bar *bar
	most := 0
	err := untilDecided(ctx, r.pool, r.clock, dayPoll, dayPatience, func(b backlog) {
		if bar == nil {
			most = b.accepted
			bar = r.screen.begin("decided", most)
			bar.quiet = true
		}
		bar.set(most - b.accepted)
	})
	if bar != nil {
		bar.finish()
	}
	if errors.Is(err, errStillPending) {
		r.screen.line("  ! %v", err)
		return nil
	}
	return err
}

// Pace is how fast requests were decided, and how long each waited for it.
type Pace struct {
	Decided       int
	Commits       int           // that decided them
	Took          time.Duration // from the first acceptance to the last outcome
	P50, P99, Max time.Duration // from acceptance to being applied
}

// paceSQL leaves requests out of the latencies that were parked: they waited for another request, not for the system.
const paceSQL = `
WITH decided AS (
    SELECT r.book, r.accepted_at, o.decided_at, extract(epoch FROM o.decided_at - r.accepted_at) * 1000 AS ms,
           o.result = 'applied' AND NOT EXISTS (
               SELECT FROM attempts a WHERE a.book = r.book AND a.request_id = r.id AND a.event = 'parked') AS timed
    FROM requests r
    JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
    WHERE r.producer = $1
)
SELECT count(*), count(DISTINCT (book, decided_at)), coalesce(extract(epoch FROM max(decided_at) - min(accepted_at)) * 1000, 0),
       coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE timed), 0),
       coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY ms) FILTER (WHERE timed), 0),
       coalesce(max(ms) FILTER (WHERE timed), 0)
FROM decided`

// readPace measures what a producer asked.
func readPace(ctx context.Context, pool *pgxpool.Pool, producer string) (Pace, error) {
	var p Pace
	var took, p50, p99, longest float64 // milliseconds
	if err := pool.QueryRow(ctx, paceSQL, producer).Scan(&p.Decided, &p.Commits, &took, &p50, &p99, &longest); err != nil {
		return Pace{}, fmt.Errorf("measure the pace: %w", err)
	}
	ms := func(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
	p.Took, p.P50, p.P99, p.Max = ms(took), ms(p50), ms(p99), ms(longest)
	return p, nil
}
