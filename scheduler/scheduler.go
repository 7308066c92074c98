package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Numbers of the scheduler.
const (
	// claimTimeout bounds one claim: a few statements.
	claimTimeout = 30 * time.Second
	// pauseMin is the wait after a failure, and pauseMax the longest after many; each is drawn from its upper half.
	pauseMin = time.Second
	pauseMax = time.Minute
)

// Scheduler claims slots. Any number of them may run over one database.
type Scheduler struct {
	config  Config
	reader  *ledger.Reader
	metrics *metrics

	mu   sync.Mutex
	next map[string]time.Time // when each job's next unclaimed slot is or was due, as far as this scheduler knows
}

// New makes a scheduler. It returns a *ConfigError.
func New(config Config) (*Scheduler, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	s := &Scheduler{config: config, reader: ledger.NewReader(config.Pool), next: map[string]time.Time{}}
	s.metrics = newMetrics(config.Registerer, config.Jobs, s.lag)
	return s, nil
}

// Run claims slots when they are due until ctx ends, then returns nil. What fails is logged, counted and tried again.
func (s *Scheduler) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		var pause time.Duration
		_, err := s.CatchUp(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			pause = min(pauseMin<<min(failures, 8), pauseMax)
			pause -= rand.N(pause/2 + 1)
			failures++
			s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "scheduler will try again", slog.String("error", err.Error()))
		default:
			failures, pause = 0, s.untilNext()
		}
		select {
		case <-s.config.Clock.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// untilNext is how long nothing is due, at most the poll interval.
func (s *Scheduler) untilNext() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, wait := s.config.Clock.Now(), s.config.PollInterval
	for _, due := range s.next {
		if left := due.Sub(now); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// lag is for how long a job's oldest slot has been due without being claimed.
func (s *Scheduler) lag(job string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	due, known := s.next[job]
	if !known {
		return 0
	}
	return max(0, s.config.Clock.Now().Sub(due))
}

// Slot is a claimed slot.
type Slot struct {
	Job          string
	BusinessDate string
	DueAt        time.Time
	Receipts     []tasks.Receipt // of the requests that it asked for
}

// CatchUp claims every slot that is due, each job's in the order of their dates, and returns those that this call claimed. It may be
// called at the same time by many. An error of one job does not stop the others; the slots that were claimed stay so.
func (s *Scheduler) CatchUp(ctx context.Context) ([]Slot, error) {
	var claimed []Slot
	var errs []error
	for _, job := range s.config.Jobs {
		for {
			slot, err := s.claimNext(ctx, job)
			if err != nil {
				s.metrics.slots.WithLabelValues(job.Name, resultFailed).Inc()
				errs = append(errs, err)
			}
			if slot == nil {
				break
			}
			s.report(ctx, *slot)
			claimed = append(claimed, *slot)
		}
	}
	return claimed, errors.Join(errs...)
}

// claimNext claims the job's next slot if it is due. It returns nil when none is, or when another scheduler is at it.
func (s *Scheduler) claimNext(ctx context.Context, job Job) (*Slot, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	policy, _, err := s.reader.Policy(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim a slot of %s: %w", job.Name, err)
	}
	var slot *Slot
	err = pgx.BeginFunc(ctx, s.config.Pool, func(tx pgx.Tx) error {
		slot, err = s.claimIn(ctx, tx, job, policy)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim a slot of %s: %w", job.Name, err)
	}
	if slot != nil {
		s.config.Client.Ring(slot.Receipts...)
	}
	return slot, nil
}

// slotLocks is the class of the schedulers' advisory locks: "slot" as a number.
const slotLocks = 0x736c6f74

const lockJobSQL = `SELECT pg_try_advisory_xact_lock($1, hashtext($2))`

const lastSlotSQL = `SELECT max(business_date) FROM slots WHERE job = $1`

const claimSlotSQL = `
INSERT INTO slots (job, business_date, due_at, claimed_by, requests)
VALUES ($1, $2, $3, $4, $5)`

// claimIn claims inside a transaction, which holds the job's lock to its end. The lock is the only one that is waited for by nobody:
// whoever finds it taken leaves.
func (s *Scheduler) claimIn(ctx context.Context, tx pgx.Tx, job Job, policy tasks.Policy) (*Slot, error) {
	var locked bool
	if err := tx.QueryRow(ctx, lockJobSQL, slotLocks, job.Name).Scan(&locked); err != nil || !locked {
		return nil, err
	}
	var last *time.Time
	if err := tx.QueryRow(ctx, lastSlotSQL, job.Name).Scan(&last); err != nil {
		return nil, err
	}
	now := s.config.Clock.Now()
	date := job.next(lastDay(last), now)
	due := job.dueAt(date)
	s.expect(job.Name, due)
	if now.Before(due) {
		return nil, nil
	}
	slot := &Slot{Job: job.Name, BusinessDate: date.String(), DueAt: due}
	var err error
	if slot.Receipts, err = s.config.Client.EnqueueTx(ctx, tx, job.Requests(policy, slot.BusinessDate)...); err != nil {
		return nil, err
	}
	keys := make([]string, len(slot.Receipts))
	for i, receipt := range slot.Receipts {
		keys[i] = string(receipt.Kind) + " " + receipt.Key
	}
	_, err = tx.Exec(ctx, claimSlotSQL, job.Name, slot.BusinessDate, due, s.config.Name, keys)
	return slot, err
}

func lastDay(last *time.Time) *day {
	if last == nil {
		return nil
	}
	return &day{*last}
}

// expect notes when a job's next slot is due.
func (s *Scheduler) expect(job string, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[job] = due
}

// lateAfter is from when on a claimed slot counts as late: no poll interval and no restart takes so long.
const lateAfter = 10 * time.Minute

func (s *Scheduler) report(ctx context.Context, slot Slot) {
	late := s.config.Clock.Now().Sub(slot.DueAt)
	result := resultOnTime
	if late > lateAfter {
		result = resultLate
	}
	s.metrics.slots.WithLabelValues(slot.Job, result).Inc()
	s.config.Logger.LogAttrs(ctx, slog.LevelInfo, "slot claimed", slog.String("job", slot.Job),
		slog.String("business_date", slot.BusinessDate), slog.Float64("late_seconds", late.Seconds()),
		slog.Int("requests", len(slot.Receipts)))
}
