package main

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/ledger"
)

type deadCommand struct {
	databaseFlags

	Limit int  `default:"100" help:"How many to list, the oldest first (default ${default})."`
	JSON  bool `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (deadCommand) Help() string {
	return `A request is dead when no code can decide it: its rule failed, PostgreSQL refused it, or what it waited for never came. ` +
		`Find the cause with "settled show KIND KEY", mend it, then "settled requeue KIND KEY". Example:

    $ settled dead
    accepted                 request          attempts  last error
    2026-01-02 12:00:00.480  refund:apply r9         0  waited too long for payment:capture/o9

Attempts are the starts that were counted: each of a refund:send, and of others those that a lost process or ring made suspect.
By --json: [{"kind", "key", "accepted_at", "attempts", "last_error"}].`
}

// Run lists the dead requests.
func (c *deadCommand) Run(ctx context.Context, p *Program) error {
	if c.Limit < 1 {
		return &usageError{problem: fmt.Sprintf("--limit: is %d; allowed: 1 or more", c.Limit)}
	}
	return c.read(ctx, "dead", func(reader *ledger.Reader) error {
		letters, err := reader.Dead(ctx, c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			if letters == nil {
				letters = []ledger.DeadLetter{}
			}
			return printJSON(p.Stdout, letters)
		}
		if len(letters) == 0 {
			fmt.Fprintln(p.Stdout, "no request waits for a person")
			return nil
		}
		text := table{columns: []column{left("accepted"), left("request"), right("attempts"), left("last error")}}
		for _, letter := range letters {
			text.add(local(letter.AcceptedAt), string(letter.Kind)+" "+letter.Key, fmt.Sprint(letter.Attempts), oneLine(letter.LastError))
		}
		text.print(p.Stdout, "")
		return nil
	})
}
