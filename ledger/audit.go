package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Check is one invariant as the audit found it.
type Check struct {
	Invariant string `json:"invariant"` // I1 to I12
	Statement string `json:"statement"`
	Rows      int64  `json:"rows"`             // how many rows were looked at
	Broken    string `json:"broken,omitempty"` // the first bad row; empty when the invariant holds
}

// AuditReport is an audit of the whole ledger at one moment.
type AuditReport struct {
	Checks []Check `json:"checks"`
	Totals Totals  `json:"totals"`
}

// Totals are what the audit counted on its way.
type Totals struct {
	Accounts  int64 `json:"accounts"`
	Transfers int64 `json:"transfers"`
	Requests  int64 `json:"requests"`
	Outcomes  int64 `json:"outcomes"`
	Pending   int64 `json:"pending"`
	SumFen    int64 `json:"sum_fen"` // of all balances; 0
}

// OK says whether every invariant holds.
func (r AuditReport) OK() bool { return r.FirstBroken() == nil }

// FirstBroken is the first invariant that does not hold, or nil.
func (r AuditReport) FirstBroken() *Check {
	for i := range r.Checks {
		if r.Checks[i].Broken != "" {
			return &r.Checks[i]
		}
	}
	return nil
}

// auditCheck is one invariant's query: how many rows it looked at, and the first that breaks it.
type auditCheck struct {
	invariant string
	statement string
	sql       string
}

// readAllSQL turns around what the service's connections prefer: the audit reads tables whole and joins them by hashing, whatever
// the statistics of a young table say.
const readAllSQL = `
SET LOCAL enable_seqscan = on;
SET LOCAL enable_hashjoin = on;
SET LOCAL enable_nestloop = off;
SET LOCAL work_mem = '128MB'`

const totalsSQL = `
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM transfers), (SELECT count(*) FROM requests),
       (SELECT count(*) FROM outcomes), (SELECT count(*) FROM pending), (SELECT coalesce(sum(balance_fen), 0)::bigint FROM accounts)`

// Audit checks every invariant over one snapshot. It locks nothing and may run beside the workers; it reads all of history.
func (r *Reader) Audit(ctx context.Context) (AuditReport, error) {
	var report AuditReport
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, r.pool, options, func(tx pgx.Tx) error {
		t := &report.Totals
		if err := tx.QueryRow(ctx, totalsSQL).Scan(&t.Accounts, &t.Transfers, &t.Requests, &t.Outcomes, &t.Pending, &t.SumFen); err != nil {
			return fmt.Errorf("count: %w", err)
		}
		if _, err := tx.Exec(ctx, readAllSQL); err != nil {
			return fmt.Errorf("prepare to read all of history: %w", err)
		}
		for _, c := range auditChecks {
			check := Check{Invariant: c.invariant, Statement: c.statement}
			var broken *string
			if err := tx.QueryRow(ctx, c.sql).Scan(&check.Rows, &broken); err != nil {
				return fmt.Errorf("%s: %w", c.invariant, err)
			}
			if broken != nil {
				check.Broken = *broken
			}
			report.Checks = append(report.Checks, check)
		}
		return nil
	})
	if err != nil {
		return AuditReport{}, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

// ErrBooksDoNotBalance says that an audit found a broken invariant.
var ErrBooksDoNotBalance = errors.New("an invariant is broken")

// Err is nil when every invariant holds, and names the first bad row otherwise.
func (r AuditReport) Err() error {
	if c := r.FirstBroken(); c != nil {
		return fmt.Errorf("%w: %s %s: %s", ErrBooksDoNotBalance, c.Invariant, c.Statement, c.Broken)
	}
	return nil
}
