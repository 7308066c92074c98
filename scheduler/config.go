package scheduler

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Config configures a Scheduler. The pool and the client are the caller's.
type Config struct {
	// Pool is the ledger's database. Required.
	Pool *pgxpool.Pool
	// Client accepts what slots ask for; its producer's name stands in the requests. Required.
	Client *tasks.Client
	// Name says in a slot's row who claimed it, such as the host's name. Required.
	Name string
	// Jobs are what is scheduled. Defaults to NightlySweep.
	Jobs []Job
	// PollInterval is how often the slots are looked at between due times, so that a clock that is set is noticed. Defaults to a
	// minute.
	PollInterval time.Duration
	// Logger is told of each claimed slot. Defaults to none.
	Logger *slog.Logger
	// Registerer takes the metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Clock says when slots are due. Defaults to the system's.
	Clock clock.Timer
}

// ConfigError refuses a configuration for one of its fields.
type ConfigError struct {
	Field   string
	Problem string
	Allowed string
}

// Error implements error.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("scheduler's %s %s; allowed: %s", e.Field, e.Problem, e.Allowed)
}

func (c Config) withDefaults() Config {
	if c.Jobs == nil {
		c.Jobs = []Job{NightlySweep()}
	}
	if c.PollInterval == 0 {
		c.PollInterval = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System
	}
	return c
}

// check returns a *ConfigError for the first field that is not allowed.
func (c Config) check() error {
	switch {
	case c.Pool == nil || c.Client == nil:
		return &ConfigError{Field: "parts", Problem: "are not all given", Allowed: "Pool and Client"}
	case c.Name == "":
		return &ConfigError{Field: "name", Problem: "is missing", Allowed: "a text"}
	case c.PollInterval < 0:
		return &ConfigError{Field: "poll interval", Problem: "is " + c.PollInterval.String(), Allowed: "more than 0"}
	}
	seen := map[string]bool{}
	for _, job := range c.Jobs {
		if err := job.check(); err != nil {
			return err
		}
		if seen[job.Name] {
			return &ConfigError{Field: "job", Problem: fmt.Sprintf("%q is given twice", job.Name), Allowed: "each once"}
		}
		seen[job.Name] = true
	}
	return nil
}

func (j Job) check() error {
	switch {
	case len(j.Name) < 1 || len(j.Name) > 64:
		return &ConfigError{Field: "job's name", Problem: fmt.Sprintf("has %d bytes", len(j.Name)), Allowed: "1 to 64"}
	case !j.At.valid():
		return &ConfigError{Field: "time of job " + j.Name, Problem: "is " + j.At.String(), Allowed: "00:00 to 23:59"}
	case j.Requests == nil:
		return &ConfigError{Field: "job " + j.Name, Problem: "asks for nothing", Allowed: "a job with Requests"}
	}
	if j.From != "" {
		if _, err := parseDay(j.From); err != nil {
			return &ConfigError{Field: "start date of job " + j.Name, Problem: fmt.Sprintf("is %.20q", j.From), Allowed: "a date such as 2026-01-02"}
		}
	}
	return nil
}
