package main

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
)

type balanceCommand struct {
	databaseFlags

	User string `arg:"" help:"The user's id."`
	At   string `placeholder:"TIME" help:"The balances as they were: a time of RFC 3339, or a date for its end in Shanghai."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (balanceCommand) Help() string {
	return `Example:

    $ settled balance u1
    account          balance  held  available
    user/u1/cash       70.00  0.00      70.00
    user/u1/reward      5.00  0.00       5.00

With --at, balances of the past; they tell no holds. By --json: {"user_id", "at", "accounts": [{"account", "balance", "held", ` +
		`"available"}]}. Exit code 1: the user has no accounts; they open with the first credit.`
}

// Run prints the balances.
func (c *balanceCommand) Run(ctx context.Context, p *Program) error {
	at, err := parseAt(c.At)
	if err != nil {
		return err
	}
	return c.read(ctx, "balance", func(reader *ledger.Reader) error {
		accounts, err := reader.Balances(ctx, c.User, at)
		if err != nil {
			return notStored(err, fmt.Sprintf("user %q has no accounts", c.User))
		}
		if c.JSON {
			balances := intake.Balances{UserID: c.User, Accounts: accounts}
			if !at.IsZero() {
				balances.At = &at
			}
			return printJSON(p.Stdout, balances)
		}
		c.print(p, accounts, !at.IsZero())
		return nil
	})
}

func (c *balanceCommand) print(p *Program, accounts []ledger.Balance, past bool) {
	text := table{columns: []column{left("account"), right("balance"), right("held"), right("available")}}
	if past {
		text.columns = text.columns[:2]
	}
	for _, account := range accounts {
		cells := []string{string(account.Account), account.Balance.String(), account.Held.String(), account.Available.String()}
		text.add(cells[:len(text.columns)]...)
	}
	text.print(p.Stdout, "")
}

// notStored turns PostgreSQL's refusal of an id's bytes into the answer that no such id is stored.
func notStored(err error, what string) error {
	if postgres.IsContent(err) {
		return fmt.Errorf("%s: %w", what, ledger.ErrNotFound)
	}
	return err
}
