package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/redisurl"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// ErrNotSo says that something is lost or doubled, or that the books do not balance. What was printed says which.
var ErrNotSo = errors.New("the books are not what the producers' record says")

// dayRingAfter is how long the relay leaves a fresh request of the day to its first ring: short, so that what a killed worker had in
// hand is not waited for. The night's backlog takes longer than that without anything being lost.
const dayRingAfter = 2 * time.Second

// Config says what a run of the demo does.
type Config struct {
	// DatabaseURL names a migrated ledger without any requests. RedisURL names a Redis that may be wiped.
	DatabaseURL, RedisURL string
	// SharedRedis says that only the named database of Redis may be wiped.
	SharedRedis bool
	// Users take part in the day; Requests are asked of it, repeats included; Enrolled users are swept, the day's among them.
	Users, Requests, Enrolled int
	// Rate is how many requests a second the day's producers ask; 0 is as many as are accepted.
	Rate int
	// Seed draws the day.
	Seed uint64
	// Mishaps lets a worker be killed and Redis be wiped during the day.
	Mishaps bool
	// Stack says in a line each what the demo stands on, and Ready how long that took.
	Stack []string
	Ready time.Duration
	// Workers is how many workers run; StartWorker starts one.
	Workers     int
	StartWorker func() (Worker, error)
	// Channels are where users pay recharges. Required.
	Channels *Channels
	Screen   Screen
	Clock    clock.Timer
}

// Worker is something that applies requests, in this process or another.
type Worker interface {
	// Name tells people which one it is.
	Name() string
	// Kill ends the worker without any warning and returns when it is gone.
	Kill() error
	// Stop lets the worker finish what it has begun, and returns when it has.
	Stop(ctx context.Context) error
}

// stopTimeout is how long a worker may take to finish what it has begun.
const stopTimeout = 15 * time.Second

// run is one run of the demo.
type run struct {
	config  Config
	clock   clock.Timer
	screen  *Screen
	pool    *pgxpool.Pool
	reader  *ledger.Reader
	redis   *redis.Client
	bell    *tasks.Doorbell
	client  *tasks.Client // of the part that is played
	record  *Record
	load    load
	today   time.Time
	plan    *Plan // of the day
	workers []Worker
	told    int // steps of the story

	dayPace   Pace
	sweepTook time.Duration
}

// Run plays the demo and judges it. It returns ErrNotSo when something is lost or doubled or the books do not balance, and the cause of
// ctx's end when that came first. When it returns, every worker that it started has ended.
func Run(ctx context.Context, config Config) (err error) {
	r := &run{config: config, clock: config.Clock, screen: &config.Screen, record: NewRecord(), load: load{clock: config.Clock},
		today: config.Clock.Now()}
	server, err := redisurl.Parse(config.RedisURL)
	if err != nil {
		return fmt.Errorf("use redis: its URL %w", err)
	}
	r.redis = server.Open()
	defer func() { err = errors.Join(err, r.redis.Close()) }()
	r.bell = tasks.NewDoorbell(r.redis)
	if r.pool, err = postgres.Open(ctx, config.DatabaseURL, postgres.ApplicationName("settled demo")); err != nil {
		return err
	}
	defer r.pool.Close()
	r.reader = ledger.NewReader(r.pool)
	r.tellStack()
	defer func() {
		if stopErr := r.stopWorkers(ctx); err == nil { // after a failure it says nothing new
			err = stopErr
		}
	}()
	err = r.playAll(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // whatever failed, failed for this
	}
	return err
}

// playAll starts the workers, plays every part, and judges.
func (r *run) playAll(ctx context.Context) error {
	for range r.config.Workers {
		if err := r.startWorker(); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		client tasks.ClientConfig
		play   func(context.Context) error
	}{
		{tasks.ClientConfig{Producer: "story"}, r.tellStory},
		{tasks.ClientConfig{Producer: "morning"}, r.playMorning},
		{tasks.ClientConfig{Producer: "day", RingAfter: dayRingAfter}, r.playDay},
		{tasks.ClientConfig{Producer: "night"}, r.playNight},
	} {
		if err := r.play(ctx, part.client, part.play); err != nil {
			return err
		}
	}
	return r.judge(ctx)
}

// play plays one part with a client of its own.
func (r *run) play(ctx context.Context, config tasks.ClientConfig, part func(context.Context) error) error {
	config.Clock = r.clock
	client, err := tasks.NewClient(ctx, r.pool, r.bell, config)
	if err != nil {
		return err
	}
	defer client.Close()
	r.client = client
	return part(ctx)
}

func (r *run) startWorker() error {
	worker, err := r.config.StartWorker()
	if err != nil {
		return err
	}
	r.workers = append(r.workers, worker)
	return nil
}

// tellStack says what the demo stands on.
func (r *run) tellStack() {
	r.screen.title("The stack")
	for _, line := range r.config.Stack {
		for i, part := range wrapped(line, columnsMax-6) {
			r.screen.line("  %s%s", strings.Repeat("  ", min(i, 1)), part)
		}
	}
	r.screen.line("  ready after %s", seconds(r.config.Ready))
}

// stopWorkers lets the workers finish, whether or not ctx has ended.
func (r *run) stopWorkers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	errs := make([]error, len(r.workers))
	stopped := make(chan struct{})
	for i, worker := range r.workers {
		go func() {
			errs[i] = worker.Stop(ctx)
			stopped <- struct{}{}
		}()
	}
	for range r.workers {
		<-stopped
	}
	return errors.Join(errs...)
}
