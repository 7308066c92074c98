package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
)

type showCommand struct {
	databaseFlags

	Kind string `arg:"" help:"The request's kind, such as refund:apply."`
	Key  string `arg:"" help:"The producer's own id."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (showCommand) Help() string {
	return `Example:

    $ settled show refund:apply r1
    refund:apply r1: applied

      request        019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11
      ...
    timeline, Shanghai time
      2026-01-02 12:00:01.180            accepted  by cli
      2026-01-02 12:00:01.204  +24 ms    applied   1 transfer

    transfers
      number  debit                credit        amount  debit balance  credit balance
          12  merchant/m1/payable  user/u1/cash   30.00                          50.00

A state is accepted, parked (waits for another request), dead (waits for a person), applied or rejected. Kinds that settled asks of ` +
		`itself are shown too: refund:send, refund:answer, refund:revise, transfer:receive, sweep:chunk. Exit code 1: there is no such request.`
}

// Run shows the request.
func (c *showCommand) Run(ctx context.Context, p *Program) error {
	kind, err := knownKind(c.Kind)
	if err != nil {
		return err
	}
	return c.read(ctx, "show", func(reader *ledger.Reader) error {
		record, err := reader.Record(ctx, kind, c.Key)
		switch {
		case err != nil:
			return notStored(err, fmt.Sprintf("%s %q", kind, c.Key))
		case c.JSON:
			return printJSON(p.Stdout, record)
		}
		return printRecord(p.Stdout, record)
	})
}

// printRecord writes all that is known of a request, for people.
func printRecord(w io.Writer, record ledger.Record) error {
	fmt.Fprintf(w, "%s %s: %s\n\n", record.Kind, record.Key, record.State)
	for _, fact := range [][2]string{
		{"request", record.ID.String()},
		{"book", fmt.Sprint(record.Book)},
		{"occurred", local(record.OccurredAt)},
		{"business date", record.BusinessDate},
		{"waits for", record.WaitsFor},
		{"last error", oneLine(record.LastError)},
	} {
		if fact[1] != "" {
			fmt.Fprintf(w, "  %-13s  %s\n", fact[0], fact[1])
		}
	}
	var payload bytes.Buffer
	if err := json.Indent(&payload, record.Payload, "  ", "  "); err != nil {
		return fmt.Errorf("read the stored payload: %w", err)
	}
	fmt.Fprintf(w, "\npayload\n  %s\n\ntimeline, Shanghai time\n", &payload)
	printTimeline(w, record)
	if len(record.Transfers) > 0 {
		fmt.Fprint(w, "\ntransfers\n")
		printTransfers(w, record.Transfers)
	}
	if o := record.Outcome; o != nil && o.Transfers > len(record.Transfers) {
		fmt.Fprintf(w, "  … %d in all\n", o.Transfers)
	}
	if record.State == "dead" {
		fmt.Fprintf(w, "\nwhen its cause is mended: settled requeue %s %s\n", record.Kind, record.Key)
	}
	return nil
}

func printTimeline(w io.Writer, record ledger.Record) {
	for i, event := range record.Timeline {
		since, detail := "", oneLine(event.Detail)
		if i > 0 {
			since = after(event.At.Sub(record.AcceptedAt))
		}
		if o := record.Outcome; o != nil && event.Outcome && o.Transfers > 0 {
			detail = plural(o.Transfers, "transfer")
			if event.Detail != "" {
				detail += "; " + oneLine(event.Detail)
			}
		}
		line := fmt.Sprintf("  %s  %-9s  %-8s  %s", local(event.At), since, event.Event, detail)
		fmt.Fprintln(w, trimRight(line))
	}
	if record.Events > len(record.Timeline) {
		fmt.Fprintf(w, "  … %d in all; those after the acceptance are the newest\n", record.Events)
	}
}

// printTransfers writes journal lines with the balances that they left; accounts that are not users' have none.
func printTransfers(w io.Writer, transfers []ledger.Posted) {
	text := table{columns: []column{right("number"), left("debit"), left("credit"), right("amount"), right("debit balance"),
		right("credit balance")}}
	for _, t := range transfers {
		text.add(fmt.Sprint(t.Seq), string(t.Debit), string(t.Credit), t.Amount.String(), balance(t.DebitBalance),
			balance(t.CreditBalance))
	}
	text.print(w, "  ")
}

func balance(amount *money.Amount) string {
	if amount == nil {
		return ""
	}
	return amount.String()
}
