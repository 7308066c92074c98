package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Options say what a run measures, and on which servers.
type Options struct {
	DatabaseURL string // of a PostgreSQL in which the run may create databases of its own
	RedisURL    string // of a Redis database that the run may empty
	Rounds      int    // of each row, 1 or more
	Books       int
	Scale       float64 // of the rows' sizes; 1 is what the figures in the documents were measured with
	Rows        []string
	Progress    io.Writer // told of each step; may be nil
}

// Rows lists the names of the rows that can be asked for, in the order in which they run.
func Rows() []string {
	return []string{"refund-single", "refund-bulk", "accept", "http-accept", "http-bulk", "notice", "sweep", "history", "latency"}
}

// run is one run under way.
type run struct {
	Options
	report *Report
	broken []string
}

// Run measures the rows that are asked for; all of them when none is named.
func Run(ctx context.Context, options Options) (*Report, error) {
	r := &run{Options: options, report: &Report{Rounds: options.Rounds,
		Machine: fmt.Sprintf("%d cores, %s, %d books", runtime.NumCPU(), runtime.Version(), options.Books)}}
	for _, part := range []struct {
		rows []string
		run  func(context.Context) error
	}{
		{[]string{"refund-single", "refund-bulk", "accept", "http-accept", "http-bulk", "latency"}, r.refunds},
		{[]string{"notice"}, r.notices},
		{[]string{"sweep"}, r.sweep},
		{[]string{"history"}, r.history},
	} {
		if slices.ContainsFunc(part.rows, r.wants) {
			if err := part.run(ctx); err != nil {
				return nil, err
			}
		}
	}
	for _, broken := range r.broken {
		r.report.Audit += broken + "; "
	}
	return r.report, nil
}

func (r *run) wants(name string) bool { return len(r.Rows) == 0 || slices.Contains(r.Rows, name) }

func (r *run) size(n int) int { return max(100, int(float64(n)*r.Scale)) }

func (r *run) say(format string, args ...any) {
	if r.Progress != nil {
		fmt.Fprintf(r.Progress, format+"\n", args...)
	}
}

// inEnvironment gives a part a database of its own and audits it afterwards.
func (r *run) inEnvironment(ctx context.Context, part func(*environment) error) error {
	e, err := openEnvironment(ctx, r.DatabaseURL, r.RedisURL, r.Books)
	if err != nil {
		return err
	}
	defer e.close(ctx)
	if err := part(e); err != nil {
		return err
	}
	r.say("auditing")
	report, err := ledger.NewReader(e.pool).Audit(ctx)
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		r.broken = append(r.broken, err.Error())
	}
	return nil
}

// round measures one round of a row.
func (r *run) round(row *Row, measure func() (sample, error)) error {
	s, err := measure()
	if err != nil {
		return fmt.Errorf("measure %s: %w", row.Name, err)
	}
	row.rounds = append(row.rounds, s)
	r.say("  %-14s %9.0f per second", row.Name, s.perSecond())
	return nil
}

// add concludes rows and puts them into the report.
func (r *run) add(rows ...*Row) {
	for _, row := range rows {
		row.conclude()
		r.report.Rows = append(r.report.Rows, *row)
	}
}

// settlePending applies what a row of acceptances left pending.
func settlePending(ctx context.Context, e *environment) error {
	l, err := e.openLedger(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	rows, err := e.pool.Query(ctx, "SELECT kind, book, request_id FROM pending ORDER BY request_id")
	if err != nil {
		return fmt.Errorf("list pending: %w", err)
	}
	var bells []tasks.Bell
	for rows.Next() {
		var bell tasks.Bell
		var id uuid.UUID
		if err := rows.Scan(&bell.Kind, &bell.Book, &id); err != nil {
			rows.Close()
			return fmt.Errorf("list pending: %w", err)
		}
		bell.ID = id
		bells = append(bells, bell)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list pending: %w", err)
	}
	return applyAll(ctx, l, bells)
}
