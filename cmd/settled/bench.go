package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/settled-dev/settled/internal/bench"
	"github.com/settled-dev/settled/internal/devstack"
)

type benchCommand struct {
	databaseFlags
	redisFlags

	Row    []string `placeholder:"NAME" help:"Measure only this row; may be repeated. See below for the names."`
	Rounds int      `default:"3" placeholder:"N" help:"Rounds of each row (default ${default})."`
	Books  int      `placeholder:"N" help:"Books of the run's ledgers, 1 to 64 (default: one for each of this machine's cores, 2 to 8)."`
	Scale  float64  `default:"1" placeholder:"X" help:"Multiply the rows' sizes (default ${default}); 0.1 tries the command out."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (benchCommand) Help() string {
	return `Measures settled beside what its parts could do at most, all on the same servers in one run, rows in turn, medians of the ` +
		`rounds. Without DATABASE_URL and REDIS_URL it starts servers of its own, durable ones. With them, it makes databases of its own ` +
		`in that PostgreSQL and EMPTIES that Redis database.

Rows: ` + strings.Join(bench.Rows(), ", ") + `.

    $ settled bench
    $ settled bench --row refund-bulk --rounds 5 --json

By --json: {"rows": [{"name", "per_second", "range", "vs": {...}, "target", "met"}], ...}. Exit code 1: a target was missed, or the ` +
		`books of the run do not balance.`
}

// Run measures.
func (c *benchCommand) Run(ctx context.Context, p *Program) (err error) {
	for _, row := range c.Row {
		if !slices.Contains(bench.Rows(), row) {
			return &usageError{problem: fmt.Sprintf("--row is %q; allowed: %s", row, strings.Join(bench.Rows(), ", "))}
		}
	}
	if c.Rounds < 1 || c.Rounds > 100 || c.Books < 0 || c.Books > 64 || c.Scale <= 0 || c.Scale > 10 {
		return &usageError{problem: "--rounds, --books or --scale is out of range; allowed: 1 to 100, 1 to 64, above 0 up to 10"}
	}
	stack, err := devstack.Start(ctx, devstack.Options{DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL,
		Postgres: devstack.PostgresOptions{SharedBuffers: "1GB"}})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, stack.Stop(stopping))
	}()
	for _, line := range stack.Describe() {
		fmt.Fprintln(p.Stderr, line)
	}
	report, err := bench.Run(ctx, bench.Options{DatabaseURL: stack.Postgres.URL, RedisURL: stack.Redis.URL, Rounds: c.Rounds,
		Books: cmp.Or(c.Books, localBooks()), Scale: c.Scale, Rows: c.Row, Progress: p.Stderr})
	if err != nil {
		return err
	}
	if c.JSON {
		err = report.WriteJSON(p.Stdout)
	} else {
		report.WriteText(p.Stdout)
	}
	if err == nil && !report.OK() {
		err = errNo
	}
	return err
}
