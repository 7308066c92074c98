package main

import (
	"context"
	"fmt"
	"time"

	"github.com/settled-dev/settled/ledger"
)

type statementCommand struct {
	databaseFlags

	User   string `arg:"" help:"The user's id."`
	Limit  int    `default:"50" help:"How many transfers to list, 1 to 1000 (default ${default})."`
	Before int64  `placeholder:"NUMBER" help:"List those before this number in the journal: where the page before ended."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// statement is the command's JSON.
type statement struct {
	UserID  string         `json:"user_id"`
	Entries []ledger.Entry `json:"entries"`
	// NextBefore is the --before of the next page; absent on the last.
	NextBefore int64 `json:"next_before,omitempty"`
}

// Help is shown below the command's summary.
func (statementCommand) Help() string {
	return `The newest first; times are Shanghai's. Example:

    $ settled statement u1 --limit 2
    number  posted                   account       amount  balance  other account           request
        12  2026-01-02 12:00:01.204  user/u1/cash   30.00    50.00  merchant/m1/payable     refund:apply r1
         7  2026-01-02 12:00:00.480  user/u1/cash  -80.00    20.00  merchant/m1/payable     payment:capture o1

By --json: {"user_id", "entries": [{"seq", "posted_at", "business_date", "account", "amount", "balance", "other", "kind", "key"}], ` +
		`"next_before"}. Exit code 1: the user has no accounts.`
}

// Run prints the statement.
func (c *statementCommand) Run(ctx context.Context, p *Program) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return &usageError{problem: fmt.Sprintf("--limit: is %d; allowed: 1 to 1000", c.Limit)}
	}
	before := c.Before
	if before == 0 {
		before = ledger.FirstPage
	}
	return c.read(ctx, "statement", func(reader *ledger.Reader) error {
		entries, err := reader.Statement(ctx, c.User, before, c.Limit)
		if err == nil && len(entries) == 0 {
			_, err = reader.Balances(ctx, c.User, time.Time{})
		}
		if err != nil {
			return notStored(err, fmt.Sprintf("user %q has no accounts", c.User))
		}
		page := statement{UserID: c.User, Entries: entries}
		if len(entries) >= c.Limit {
			page.NextBefore = entries[len(entries)-1].Seq
		}
		if c.JSON {
			return printJSON(p.Stdout, page)
		}
		page.print(p)
		return nil
	})
}

func (s statement) print(p *Program) {
	text := table{columns: []column{right("number"), left("posted"), left("account"), right("amount"), right("balance"),
		left("other account"), left("request")}}
	for _, entry := range s.Entries {
		text.add(fmt.Sprint(entry.Seq), local(entry.PostedAt), string(entry.Account), entry.Amount.String(), entry.Balance.String(),
			string(entry.Other), string(entry.Kind)+" "+entry.Key)
	}
	text.print(p.Stdout, "")
	if s.NextBefore > 0 {
		fmt.Fprintf(p.Stderr, "more: --before %d\n", s.NextBefore)
	}
}
