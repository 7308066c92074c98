package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/settled-dev/settled/ledger"
)

type statementCommand struct {
	databaseFlags

	User  string `arg:"" help:"The user's id."`
	Limit int    `default:"50" help:"How many entries to list, 1 to 1000 (default ${default})."`
	After string `placeholder:"PLACE" help:"List those after this place, which the page before told."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// statement is the command's JSON.
type statement struct {
	UserID  string         `json:"user_id"`
	Entries []ledger.Entry `json:"entries"`
	// Next is the --after of the next page; absent on the last.
	Next string `json:"next,omitempty"`
}

// Help is shown below the command's summary.
func (statementCommand) Help() string {
	return `The newest first; times are Shanghai's. Example:

    $ settled statement u1 --limit 2
    number  posted                   account       amount  balance  other account           request
        12  2026-01-02 12:00:01.204  user/u1/cash   30.00    50.00  merchant/m1/payable     refund:apply r1
         7  2026-01-02 12:00:00.480  user/u1/cash  -80.00    20.00  merchant/m1/payable     payment:capture o1

By --json: {"user_id", "entries": [{"seq", "posted_at", "business_date", "account", "amount", "balance", "other", "kind", "key"}], ` +
		`"next"}. Exit code 1: the user has no accounts.`
}

// Run prints the statement.
func (c *statementCommand) Run(ctx context.Context, p *Program) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return &usageError{problem: fmt.Sprintf("--limit: is %d; allowed: 1 to 1000", c.Limit)}
	}
	after, err := parsePositions(c.After)
	if err != nil {
		return err
	}
	return c.read(ctx, "statement", func(reader *ledger.Reader) error {
		read, err := reader.StatementPage(ctx, ledger.StatementQuery{UserID: c.User, After: after, Limit: c.Limit})
		if err != nil {
			return notStored(err, fmt.Sprintf("user %q has no accounts", c.User))
		}
		page := statement{UserID: c.User, Entries: read.Entries, Next: positionsText(read.Next)}
		if c.JSON {
			return printJSON(p.Stdout, page)
		}
		page.print(p)
		return nil
	})
}

// positionsText is a place in a statement for a command line, such as 12.4,13.9: each of the user's accounts and its next version.
func positionsText(positions []ledger.AccountPosition) string {
	texts := make([]string, len(positions))
	for i, position := range positions {
		texts[i] = fmt.Sprintf("%d.%d", position.Account, position.Below)
	}
	return strings.Join(texts, ",")
}

// parsePositions reads what positionsText wrote; nothing is the beginning.
func parsePositions(text string) ([]ledger.AccountPosition, error) {
	if text == "" {
		return nil, nil
	}
	var positions []ledger.AccountPosition
	for part := range strings.SplitSeq(text, ",") {
		account, below, _ := strings.Cut(part, ".")
		id, idErr := strconv.ParseInt(account, 10, 64)
		version, versionErr := strconv.ParseInt(below, 10, 64)
		if idErr != nil || versionErr != nil {
			return nil, &usageError{problem: "--after: is " + quoted(text) + ", which is no place in a statement; allowed: what the page before told"}
		}
		positions = append(positions, ledger.AccountPosition{Account: id, Below: version})
	}
	return positions, nil
}

func (s statement) print(p *Program) {
	text := table{columns: []column{right("number"), left("posted"), left("account"), right("amount"), right("balance"),
		left("other account"), left("request")}}
	for _, entry := range s.Entries {
		text.add(fmt.Sprint(entry.Seq), local(entry.PostedAt), string(entry.Account), entry.Amount.String(), entry.Balance.String(),
			string(entry.Other), string(entry.Kind)+" "+entry.Key)
	}
	text.print(p.Stdout, "")
	if s.Next != "" {
		fmt.Fprintf(p.Stderr, "more: --after %s\n", s.Next)
	}
}
