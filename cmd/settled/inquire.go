package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/intake/inquiry"
)

type inquireCommand struct {
	databaseFlags

	RechargeIDs []string `arg:"" optional:"" name:"recharge-id" help:"The recharge orders' own ids."`
	All         bool     `help:"All orders that wait to be asked about."`
}

// Help is shown below the command's summary.
func (inquireCommand) Help() string {
	return `Workers ask by themselves, minutes and hours after an order was opened, and for three days after it expired. This is for a ` +
		`payer who shows that he has paid, however long ago the order expired, and for after notices are known to have failed. A worker ` +
		`with the channel's settings asks within seconds, and what was paid is booked as its notice would be. Example:

    $ settled inquire rc17
    rc17 is asked about
    $ settled inquire --all
    asked about now, and not later: 12

Exit code 1: one is no recharge order, or its payment is known; "settled show recharge:confirm ID" shows it.`
}

// Run hastens the inquiries.
func (c *inquireCommand) Run(ctx context.Context, p *Program) error {
	if c.All == (len(c.RechargeIDs) > 0) {
		return &usageError{problem: "which orders? their ids, or --all"}
	}
	pool, err := c.openPool(ctx, "inquire")
	if err != nil {
		return err
	}
	defer pool.Close()
	if c.All {
		hastened, err := inquiry.HastenAll(ctx, pool, p.Clock.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(p.Stdout, "asked about now, and not later: %d\n", hastened)
		return nil
	}
	var problems []error
	for _, id := range c.RechargeIDs {
		hastened, err := inquiry.Hasten(ctx, pool, id, p.Clock.Now())
		switch {
		case err != nil:
			problems = append(problems, err)
		case !hastened:
			problems = append(problems, &answerNoError{fmt.Sprintf("recharge order %q is not there, or its payment is known", id)})
		default:
			fmt.Fprintf(p.Stdout, "%s is asked about\n", id)
		}
	}
	return errors.Join(problems...)
}
