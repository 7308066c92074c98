package scheduler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/scheduler"
	"github.com/settled-dev/settled/tasks"
)

// shanghai reads a time on Shanghai's clock.
func shanghai(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, clock.Shanghai)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

type bench struct {
	db     *pgtest.Database
	client *tasks.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{db: pgtest.New(t)}
	ledgertest.Audit(t, b.db)
	var err error
	if b.client, err = tasks.NewClient(t.Context(), b.db.Pool, nil, tasks.ClientConfig{Producer: "scheduler"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

func (b *bench) scheduler(t *testing.T, now clock.Timer, change ...func(*scheduler.Config)) *scheduler.Scheduler {
	t.Helper()
	config := scheduler.Config{Pool: b.db.Pool, Client: b.client, Name: t.Name(), Clock: now}
	for _, c := range change {
		c(&config)
	}
	s, err := scheduler.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claim catches up and returns the dates that were claimed.
func claim(t *testing.T, s *scheduler.Scheduler) []string {
	t.Helper()
	slots, err := s.CatchUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dates(slots)
}

func dates(slots []scheduler.Slot) []string {
	found := []string{}
	for _, slot := range slots {
		found = append(found, slot.BusinessDate)
	}
	return found
}

// sweeps lists the accepted sweeps, as key and business date, in the order of acceptance.
func (b *bench) sweeps(t *testing.T) []string {
	t.Helper()
	rows, err := b.db.Pool.Query(t.Context(), `SELECT key || ' ' || business_date FROM requests WHERE kind = 'sweep:run' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestFirstStartBeginsWithTheMostRecentSlot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ now, want string }{
		"at noon":                {"2024-05-14 12:00:00", "2024-05-14"},
		"at the due time":        {"2024-05-14 00:30:00", "2024-05-14"},
		"a second before":        {"2024-05-14 00:29:59", "2024-05-13"},
		"at midnight":            {"2024-05-14 00:00:00", "2024-05-13"},
		"just before midnight":   {"2024-05-13 23:59:59", "2024-05-13"},
		"before the year's due":  {"2024-01-01 00:10:00", "2023-12-31"},
		"before the leap day is": {"2024-03-01 00:10:00", "2024-02-29"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			s := b.scheduler(t, clock.NewManual(shanghai(t, c.now)))
			expect(t, "claimed", claim(t, s), []string{c.want})
			expect(t, "claimed again", claim(t, s), []string{})
			expect(t, "sweeps", b.sweeps(t), []string{"xiaojinku/" + c.want + " " + c.want})
		})
	}
}

func TestMissedNightsAreCaughtUpInOrderWithTheirOwnDates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		down, up string
		want     []string
	}{
		"over a leap day":            {"2024-02-27 08:00:00", "2024-03-02 09:00:00", []string{"2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"}},
		"over a February of 28 days": {"2023-02-27 08:00:00", "2023-03-01 00:29:00", []string{"2023-02-28"}},
		"over the end of a year":     {"2023-12-30 08:00:00", "2024-01-02 08:00:00", []string{"2023-12-31", "2024-01-01", "2024-01-02"}},
		"over a long holiday": {"2024-02-09 08:00:00", "2024-02-18 08:00:00", []string{"2024-02-10", "2024-02-11", "2024-02-12",
			"2024-02-13", "2024-02-14", "2024-02-15", "2024-02-16", "2024-02-17", "2024-02-18"}},
		"over nights when others change to summer time": {"2024-03-30 08:00:00", "2024-04-01 08:00:00", []string{"2024-03-31", "2024-04-01"}},
		"none": {"2024-05-14 08:00:00", "2024-05-14 23:00:00", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			now := clock.NewManual(shanghai(t, c.down))
			first := claim(t, b.scheduler(t, now))
			now.Set(shanghai(t, c.up))
			got := claim(t, b.scheduler(t, now))
			expect(t, "caught up", got, c.want)
			var sweeps []string
			for _, date := range slices.Concat(first, c.want) {
				sweeps = append(sweeps, "xiaojinku/"+date+" "+date)
			}
			expect(t, "sweeps", b.sweeps(t), sweeps)
		})
	}
}

func TestSlotsOfAYearAreADayApart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := clock.NewManual(shanghai(t, "2023-12-31 08:00:00"))
	job := scheduler.NightlySweep()
	job.Requests = func(tasks.Policy, string) []tasks.Payload { return nil }
	s := b.scheduler(t, now, func(c *scheduler.Config) { c.Jobs = []scheduler.Job{job} })
	claim(t, s)
	now.Set(shanghai(t, "2024-12-31 08:00:00"))
	slots, err := s.CatchUp(t.Context())
	if err != nil || len(slots) != 366 {
		t.Fatalf("%d slots were claimed, %v; want 366", len(slots), err)
	}
	for i := 1; i < len(slots); i++ {
		if apart := slots[i].DueAt.Sub(slots[i-1].DueAt); apart != 24*time.Hour {
			t.Errorf("%s is due %s after the slot before it", slots[i].BusinessDate, apart)
		}
		if clock.BusinessDate(slots[i].DueAt) != slots[i].BusinessDate {
			t.Errorf("%s is due at %s", slots[i].BusinessDate, slots[i].DueAt)
		}
	}
}

func TestSlotIsClaimedByOneOfManySchedulers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := clock.NewManual(shanghai(t, "2024-02-27 08:00:00"))
	claim(t, b.scheduler(t, now))
	now.Set(shanghai(t, "2024-03-10 08:00:00"))
	var mu sync.Mutex
	var claimed []string
	var running sync.WaitGroup
	for i := range 6 {
		// Clocks that disagree do not change what is claimed.
		theirs := clock.NewManual(now.Now().Add(time.Duration(i-3) * 10 * time.Minute))
		s := b.scheduler(t, theirs)
		running.Go(func() {
			for range 20 {
				slots, err := s.CatchUp(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				claimed = append(claimed, dates(slots)...)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	slices.Sort(claimed)
	want := []string{"2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04", "2024-03-05", "2024-03-06",
		"2024-03-07", "2024-03-08", "2024-03-09", "2024-03-10"}
	expect(t, "claimed by all together", claimed, want)
	if got := len(b.sweeps(t)); got != 13 {
		t.Errorf("%d sweeps were asked for, want 13", got)
	}
}

func TestFirstSlotIsClaimedByOneOfThreeSchedulers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mu sync.Mutex
	var claimed []string
	var running sync.WaitGroup
	for range 3 {
		s := b.scheduler(t, clock.NewManual(shanghai(t, "2024-05-14 00:30:00")))
		running.Go(func() {
			slots, err := s.CatchUp(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			claimed = append(claimed, dates(slots)...)
		})
	}
	running.Wait()
	expect(t, "claimed by all together", claimed, []string{"2024-05-14"})
}

// cutAtCommit is a connection that is cut when a COMMIT is sent: before the server has it, or after, so that its reply is lost.
type cutAtCommit struct {
	net.Conn
	armed *atomic.Bool
	sent  bool // the server gets the COMMIT
}

func (c *cutAtCommit) Write(b []byte) (int, error) {
	if !bytes.HasSuffix(b, []byte("commit\x00")) || !c.armed.CompareAndSwap(true, false) {
		return c.Conn.Write(b)
	}
	if c.sent {
		if _, err := c.Conn.Write(b); err != nil {
			return 0, err
		}
		if _, err := c.Conn.Read(make([]byte, 1)); err != nil { // the server has answered
			return 0, err
		}
	}
	return 0, errors.Join(errors.New("connection cut"), c.Close())
}

func TestCrashAtTheCommitLeavesTheSlotAndItsRequestsOrNeither(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]bool{"before the server has it": false, "after the server did it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var armed atomic.Bool
			pool, err := postgres.Open(t.Context(), b.db.URL, postgres.MaxConns(1), postgres.Configure(func(c *pgxpool.Config) {
				dial := c.ConnConfig.DialFunc
				c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := dial(ctx, network, address)
					return &cutAtCommit{Conn: conn, armed: &armed, sent: sent}, err
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			now := clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))
			broken := b.scheduler(t, now, func(c *scheduler.Config) { c.Pool = pool })
			armed.Store(true)
			if _, err := broken.CatchUp(t.Context()); err == nil {
				t.Fatal("a lost commit went unnoticed")
			}
			want := 0
			if sent {
				want = 1
			}
			expect(t, "sweeps after the crash", len(b.sweeps(t)), want)
			// The server frees the lock of a cut connection when it notices.
			second := b.scheduler(t, now)
			claimed := claim(t, second)
			for len(claimed)+want < 1 && t.Context().Err() == nil {
				claimed = claim(t, second)
			}
			expect(t, "claimed afterwards", len(claimed), 1-want)
			expect(t, "sweeps in the end", b.sweeps(t), []string{"xiaojinku/2024-05-14 2024-05-14"})
		})
	}
}

func TestSlotWhoseRequestsAreRefusedIsNotClaimed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	job := scheduler.NightlySweep()
	job.Requests = func(_ tasks.Policy, date string) []tasks.Payload {
		return []tasks.Payload{&tasks.Sweep{ProductID: "xiaojinku", BusinessDate: date}, &tasks.Sweep{ProductID: "none", BusinessDate: date}}
	}
	other := scheduler.NightlySweep()
	other.Name = "other"
	now := clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))
	s := b.scheduler(t, now, func(c *scheduler.Config) { c.Jobs = []scheduler.Job{job, other} })
	slots, err := s.CatchUp(t.Context())
	var refused *tasks.FieldError
	if !errors.As(err, &refused) {
		t.Errorf("got %v, want the refused field", err)
	}
	if len(slots) != 1 || slots[0].Job != "other" {
		t.Errorf("claimed are %v, want the other job's slot", slots)
	}
	expect(t, "sweeps", b.sweeps(t), []string{"xiaojinku/2024-05-14 2024-05-14"})
}

func TestAskingAgainIsHarmless(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.client.Enqueue(t.Context(), &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2024-05-14"}); err != nil {
		t.Fatal(err)
	}
	s := b.scheduler(t, clock.NewManual(shanghai(t, "2024-05-14 08:00:00")))
	slots, err := s.CatchUp(t.Context())
	if err != nil || len(slots) != 1 || slots[0].Receipts[0].Status != tasks.Replayed {
		t.Errorf("got %v, %v; want a claimed slot whose request is a replay", slots, err)
	}
}

func TestEveryProductOfThePolicyIsSwept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := tasks.DefaultPolicy()
	policy.Products = append(policy.Products, tasks.Product{ProductID: "gold", MinSweep: money.FromFen(100)})
	if _, err := ledger.SetPolicy(t.Context(), b.db.Owner, policy, "test"); err != nil {
		t.Fatal(err)
	}
	claim(t, b.scheduler(t, clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))))
	expect(t, "sweeps", b.sweeps(t), []string{"xiaojinku/2024-05-14 2024-05-14", "gold/2024-05-14 2024-05-14"})
}

func TestJobBeginsAtItsStartDate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	job := scheduler.NightlySweep()
	job.At = scheduler.TimeOfDay{Hour: 23, Minute: 45}
	job.From = "2024-05-16"
	now := clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))
	s := b.scheduler(t, now, func(c *scheduler.Config) { c.Jobs = []scheduler.Job{job} })
	expect(t, "claimed before", claim(t, s), []string{})
	now.Set(shanghai(t, "2024-05-16 23:44:59"))
	expect(t, "claimed a second before", claim(t, s), []string{})
	now.Advance(time.Second)
	expect(t, "claimed when due", claim(t, s), []string{"2024-05-16"})
}

func TestRunningSchedulerClaimsWhenItIsTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := clock.NewManual(shanghai(t, "2024-02-28 23:00:00"))
	registry := prometheus.NewPedanticRegistry()
	s := b.scheduler(t, now, func(c *scheduler.Config) { c.Registerer = registry })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	slots := func() int { return len(b.sweeps(t)) }
	for slots() == 0 || now.WaitForTimers(t.Context(), 1) != nil { // the most recent slot, at the start
		continue
	}
	now.Set(shanghai(t, "2024-02-29 00:29:59"))
	if err := now.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := slots(); got != 1 {
		t.Errorf("%d sweeps a second before the slot is due, want 1", got)
	}
	now.Advance(time.Second)
	for slots() < 2 {
		if err := now.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	const want = `# HELP settled_scheduler_slots_total Due slots, by schedule and result: claimed on time, claimed late, or failed to be claimed.
# TYPE settled_scheduler_slots_total counter
settled_scheduler_slots_total{result="failed",schedule="sweep"} 0
settled_scheduler_slots_total{result="late",schedule="sweep"} 1
settled_scheduler_slots_total{result="on_time",schedule="sweep"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "settled_scheduler_slots_total"); err != nil {
		t.Error(err)
	}
}

func TestLagGrowsWhilePostgresIsAwayAndTheSlotIsCaughtUp(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	b := &bench{db: db}
	var err error
	if b.client, err = tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{Producer: "scheduler"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	ledgertest.Audit(t, b.db)
	now := clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))
	registry := prometheus.NewPedanticRegistry()
	s := b.scheduler(t, now, func(c *scheduler.Config) { c.Registerer = registry })
	claim(t, s)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	now.Set(shanghai(t, "2024-05-15 00:32:00"))
	if _, err := s.CatchUp(t.Context()); err == nil {
		t.Error("a claim without a database went unnoticed")
	}
	lag := func(seconds int) {
		t.Helper()
		want := fmt.Sprintf(lagText, seconds)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "settled_scheduler_slot_lag_seconds"); err != nil {
			t.Error(err)
		}
	}
	lag(120)
	if err := server.Restart(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for claimed := 0; claimed == 0 && t.Context().Err() == nil; {
		slots, _ := s.CatchUp(t.Context()) // connections that the crash broke may fail
		claimed = len(slots)
	}
	lag(0)
}

func TestSchedulerThatCannotClaimPausesForAMinuteAtMost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	away, err := postgres.Open(t.Context(), b.db.URL)
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	now := clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))
	registry := prometheus.NewPedanticRegistry()
	s := b.scheduler(t, now, func(c *scheduler.Config) { c.Pool, c.Registerer = away, registry })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	const pauses = 12
	for range pauses {
		if err := now.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		now.Advance(time.Minute)
	}
	if err := now.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	const want = `# HELP settled_scheduler_slots_total Due slots, by schedule and result: claimed on time, claimed late, or failed to be claimed.
# TYPE settled_scheduler_slots_total counter
settled_scheduler_slots_total{result="failed",schedule="sweep"} 13
settled_scheduler_slots_total{result="late",schedule="sweep"} 0
settled_scheduler_slots_total{result="on_time",schedule="sweep"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "settled_scheduler_slots_total"); err != nil {
		t.Error(err)
	}
}

const lagText = `# HELP settled_scheduler_slot_lag_seconds Time for which the schedule's oldest unclaimed slot has been due; 0 when none is.
# TYPE settled_scheduler_slot_lag_seconds gauge
settled_scheduler_slot_lag_seconds{schedule="sweep"} %d
`

func TestBadConfigurationNamesItsField(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	job := scheduler.NightlySweep()
	for name, c := range map[string]struct {
		change func(*scheduler.Config)
		field  string
	}{
		"no pool":       {func(c *scheduler.Config) { c.Pool = nil }, "parts"},
		"no client":     {func(c *scheduler.Config) { c.Client = nil }, "parts"},
		"no name":       {func(c *scheduler.Config) { c.Name = "" }, "name"},
		"negative poll": {func(c *scheduler.Config) { c.PollInterval = -1 }, "poll interval"},
		"twice":         {func(c *scheduler.Config) { c.Jobs = []scheduler.Job{job, job} }, "job"},
		"nameless job":  {func(c *scheduler.Config) { c.Jobs = []scheduler.Job{{At: job.At, Requests: job.Requests}} }, "job's name"},
		"hour 24": {func(c *scheduler.Config) {
			c.Jobs = []scheduler.Job{{Name: "x", At: scheduler.TimeOfDay{Hour: 24}, Requests: job.Requests}}
		}, "time of job x"},
		"asks nothing": {func(c *scheduler.Config) { c.Jobs = []scheduler.Job{{Name: "x"}} }, "job x"},
		"bad start date": {func(c *scheduler.Config) {
			c.Jobs = []scheduler.Job{{Name: "x", From: "2024-02-30", Requests: job.Requests}}
		}, "start date of job x"},
	} {
		config := scheduler.Config{Pool: b.db.Pool, Client: b.client, Name: "test"}
		c.change(&config)
		_, err := scheduler.New(config)
		var refused *scheduler.ConfigError
		if !errors.As(err, &refused) || refused.Field != c.field {
			t.Errorf("%s: got %v, want an error that names %q", name, err, c.field)
		}
	}
}

func TestTimeOfDayIsReadStrictly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"00:30": "00:30", "23:59": "23:59", "00:00": "00:00"} {
		var at scheduler.TimeOfDay
		if err := at.UnmarshalText([]byte(text)); err != nil || at.String() != want {
			t.Errorf("%q is read as %v, %v", text, at, err)
		}
	}
	for _, text := range []string{"", "0:30", "24:00", "00:60", "00:30:00", "half past", "-1:30", " 00:30"} {
		var at scheduler.TimeOfDay
		if err := at.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, at)
		}
	}
}

func TestConstraintsOfSlotsHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	claim(t, b.scheduler(t, clock.NewManual(shanghai(t, "2024-05-14 08:00:00"))))
	for want, values := range map[string]string{
		"slot_is_claimed_once":             `'sweep', '2024-05-14', '2024-05-14 00:30+08'`,
		"slot_job_has_1_to_64_bytes":       `'', '2024-05-15', '2024-05-15 00:30+08'`,
		"slot_is_due_on_its_business_date": `'sweep', '2024-05-15', '2024-05-15 00:30+00' + interval '16 hours'`,
	} {
		sql := fmt.Sprintf("INSERT INTO slots (job, business_date, due_at, claimed_by, requests) VALUES (%s, 'test', '{}')", values)
		sql = strings.Replace(sql, "'2024-05-15 00:30+00' +", "timestamptz '2024-05-15 00:30+00' +", 1)
		_, err := b.db.Owner.Exec(t.Context(), sql)
		if got := postgres.Constraint(err); got != want {
			t.Errorf("constraint %s did not hold: %v", want, err)
		}
	}
	for _, change := range []string{"UPDATE slots SET due_at = due_at", "DELETE FROM slots", "TRUNCATE slots"} {
		if _, err := b.db.Owner.Exec(t.Context(), change); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v, want that slots are append-only", change, err)
		}
		if _, err := b.db.Pool.Exec(t.Context(), change); err == nil {
			t.Errorf("the service may %s", change)
		}
	}
}
