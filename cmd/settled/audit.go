package main

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
)

type auditCommand struct {
	databaseFlags

	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (auditCommand) Help() string {
	return `Reads all of history over one snapshot and locks nothing: it may run beside the workers. Example:

    $ settled audit
    invariant           rows  statement
    I1         holds   1,204  each book sums to zero; every transfer has two accounts and a positive amount
    I2         BROKEN     17  an account's balance equals the sum of its transfers
                              first: account 7 (user/u1/cash) of book 2 holds 31 fen at version 4, ...
    ...
    17 accounts, 1,204 transfers, 612 requests, 611 outcomes, 1 pending; sum of all balances: 0.01 CNY
    the books do not balance: I2

By --json: {"ok", "checks": [{"invariant", "statement", "rows", "broken"}], "totals": {...}}; "broken" is the first bad row. ` +
		`Exit code 1: an invariant is broken.`
}

// Run audits the books.
func (c *auditCommand) Run(ctx context.Context, p *Program) error {
	return c.read(ctx, "audit", func(reader *ledger.Reader) error {
		report, err := reader.Audit(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(p.Stdout, struct {
				OK bool `json:"ok"`
				ledger.AuditReport
			}{report.OK(), report})
		} else {
			printAudit(p, report)
		}
		if err == nil && !report.OK() {
			err = errNo
		}
		return err
	})
}

// printAudit writes the report for people.
func printAudit(p *Program, report ledger.AuditReport) {
	text := table{columns: []column{left("invariant"), left(""), right("rows"), left("statement")}}
	for _, check := range report.Checks {
		verdict := "holds"
		if check.Broken != "" {
			verdict = "BROKEN"
		}
		text.add(check.Invariant, verdict, grouped(check.Rows), check.Statement)
		if check.Broken != "" {
			text.add("", "", "", "first: "+check.Broken)
		}
	}
	text.print(p.Stdout, "")
	t := report.Totals
	fmt.Fprintf(p.Stdout, "%s accounts, %s transfers, %s requests, %s outcomes, %s pending; sum of all balances: %s CNY\n",
		grouped(t.Accounts), grouped(t.Transfers), grouped(t.Requests), grouped(t.Outcomes), grouped(t.Pending), money.FromFen(t.SumFen))
	if broken := report.FirstBroken(); broken != nil {
		fmt.Fprintf(p.Stdout, "the books do not balance: %s\n", broken.Invariant)
		return
	}
	fmt.Fprintln(p.Stdout, "the books balance")
}

// grouped writes a count with a comma at the thousands.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
