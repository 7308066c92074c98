package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

type caseCommand struct {
	List   caseListCommand   `cmd:"" help:"List the cases that wait for a person, or all."`
	Show   caseShowCommand   `cmd:"" help:"Show one case, and what became of it."`
	Credit caseCreditCommand `cmd:"" help:"Pay the money behind a case to a user's balance."`
	Return caseReturnCommand `cmd:"" help:"Send a payment that stands in suspense back to its payer, or a refund that failed again."`
	Close  caseCloseCommand  `cmd:"" help:"Close a case by saying what became of its money outside."`
}

type caseListCommand struct {
	databaseFlags

	Open  bool   `xor:"which" help:"Only those that nobody has decided yet, which is the default."`
	All   bool   `xor:"which" help:"Those that are closed too."`
	Kind  string `placeholder:"KIND" help:"Only this kind: failed_refund, failed_return, paid_twice, unmatched_recharge or unreturnable_refund."`
	Limit int    `default:"50" help:"How many to list, 1 to 1000 (default ${default})."`
	After string `placeholder:"ID" help:"The last case of the page before."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// caseList is the command's JSON.
type caseList struct {
	Cases []ledger.CaseRecord `json:"cases"`
	// Next is the --after of the next page; absent on the last.
	Next string `json:"next,omitempty"`
}

// Help is shown below the command's summary.
func (caseListCommand) Help() string {
	return `A case asks a person what to do with money that is safe and has no rule for where it goes next. The oldest first. Example:

    $ settled case list
    case                                      opened                   kind                amount  account
    2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0  2026-01-02 12:00:00.480  unmatched_recharge   10.00  suspense/wechat

By --json: {"cases": [{"id", "kind", "account", "amount", "detail", "opened_by", "opened_at", "closing"}], "next"}. docs/runbook.md says ` +
		`what to do with each kind.`
}

// Run lists the cases.
func (c *caseListCommand) Run(ctx context.Context, p *Program) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return &usageError{problem: fmt.Sprintf("--limit: is %d; allowed: 1 to 1000", c.Limit)}
	}
	if kind := ledger.CaseKind(c.Kind); kind != "" && !slices.Contains(ledger.CaseKinds(), kind) {
		return &usageError{problem: fmt.Sprintf("--kind: is %s; allowed: %v", quoted(c.Kind), ledger.CaseKinds())}
	}
	return c.read(ctx, "case", func(reader *ledger.Reader) error {
		after, err := c.place(ctx, reader)
		if err != nil {
			return err
		}
		cases, next, err := reader.Cases(ctx, ledger.CaseFilter{Open: !c.All, Kind: ledger.CaseKind(c.Kind)}, after, c.Limit)
		if err != nil {
			return err
		}
		page := caseList{Cases: append([]ledger.CaseRecord{}, cases...)}
		if next != nil {
			page.Next = next.Ref.String()
		}
		if c.JSON {
			return printJSON(p.Stdout, page)
		}
		c.print(p.Stdout, page)
		return nil
	})
}

func (c *caseListCommand) print(w io.Writer, page caseList) {
	switch {
	case len(page.Cases) > 0:
	case c.All:
		fmt.Fprintln(w, "there is no case")
		return
	default:
		fmt.Fprintln(w, "no case waits for a person")
		return
	}
	text := table{columns: []column{left("case"), left("opened"), left("kind"), right("amount"), left("account")}}
	if c.All {
		text.columns = append(text.columns, left("closed by"))
	}
	for i := range page.Cases {
		found := &page.Cases[i]
		cells := []string{found.ID, local(found.OpenedAt), string(found.Kind), found.Amount.String(), string(found.Account)}
		if found.Closing != nil {
			cells = append(cells, string(found.Closing.Kind)+", "+oneLine(found.Closing.By))
		}
		text.add(cells...)
	}
	text.print(w, "")
	if page.Next != "" {
		fmt.Fprintf(w, "more: --after %s\n", page.Next)
	}
}

// place is where the list goes on: after a case, or from the beginning.
func (c *caseListCommand) place(ctx context.Context, reader *ledger.Reader) (ledger.CasePosition, error) {
	if c.After == "" {
		return ledger.CasePosition{}, nil
	}
	ref, err := tasks.ParseCaseID(c.After)
	if err != nil {
		return ledger.CasePosition{}, &usageError{problem: "--after: " + err.Error()}
	}
	last, err := reader.Case(ctx, ref)
	if errors.Is(err, ledger.ErrNoCase) {
		return ledger.CasePosition{}, &usageError{problem: "--after: is " + quoted(c.After) + ", which is no case; allowed: the last case of the page before"}
	}
	return ledger.CasePosition{OpenedAt: last.OpenedAt, Ref: ref}, err
}

// caseFlags name a case.
type caseFlags struct {
	Case string `arg:"" help:"The case's id, as listed."`
}

func (f caseFlags) ref() (tasks.CaseRef, error) {
	ref, err := tasks.ParseCaseID(f.Case)
	if err != nil {
		return ref, &usageError{problem: err.Error()}
	}
	return ref, nil
}

type caseShowCommand struct {
	databaseFlags
	caseFlags

	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (caseShowCommand) Help() string {
	return `What is known of the case, who closed it and why. Example:

    $ settled case show 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0
    case 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0: open

      kind       unmatched_recharge
      amount     10.00 in suspense/wechat
      opened     2026-01-02 12:00:00.480 by recharge:suspend wechat/4200001
      ...

Of what was sent back it tells how far its channel is, and which other cases of the same payment are open. Exit code 1: there is no such case.`
}

// Run shows the case.
func (c *caseShowCommand) Run(ctx context.Context, p *Program) error {
	ref, err := c.ref()
	if err != nil {
		return err
	}
	return c.read(ctx, "case", func(reader *ledger.Reader) error {
		found, err := reader.Case(ctx, ref)
		switch {
		case errors.Is(err, ledger.ErrNoCase):
			return &answerNoError{answer: "there is no case " + c.Case + "; `settled case list` lists them"}
		case err != nil:
			return err
		case c.JSON:
			return printJSON(p.Stdout, found)
		}
		returned, err := reader.ChannelRefunds(ctx, []string{wallet.ReturnNumber(c.Case)})
		if err != nil {
			return err
		}
		beside, err := reader.CasesBeside(ctx, ref)
		if err != nil {
			return err
		}
		printCase(p.Stdout, &found, returned, beside)
		return nil
	})
}

func printCase(w io.Writer, found *ledger.CaseRecord, returned []ledger.ChannelRefund, beside []ledger.CaseBeside) {
	state := "open"
	if found.Closing != nil {
		state = "closed"
	}
	fmt.Fprintf(w, "case %s: %s\n\n", found.ID, state)
	facts := [][2]string{
		{"kind", string(found.Kind)},
		{"amount", fmt.Sprintf("%s in %s", found.Amount, found.Account)},
		{"opened", fmt.Sprintf("%s by %s %s", local(found.OpenedAt), found.Opened.Kind, found.Opened.Key)},
		{"detail", oneLine(found.Detail)},
	}
	if end := found.Closing; end != nil {
		facts = append(facts, [2]string{"closed", fmt.Sprintf("%s by %s %s", local(end.At), end.Kind, end.Key)},
			[2]string{"decided by", oneLine(end.By)}, [2]string{"note", oneLine(end.Note)})
	}
	for i := range returned {
		facts = append(facts, [2]string{"return", fmt.Sprintf("number %s, %s %s", returned[i].Number, returned[i].State, oneLine(returned[i].Reason))})
	}
	for _, other := range beside {
		facts = append(facts, [2]string{"also open", fmt.Sprintf("%s %s, of the same payment", other.Kind, other.ID)})
	}
	for _, fact := range facts {
		fmt.Fprintln(w, trimRight(fmt.Sprintf("  %-10s  %s", fact[0], fact[1])))
	}
}

// decisionFlags say who decides a case, and why.
type decisionFlags struct {
	databaseFlags
	redisFlags
	operatorFlags
	caseFlags

	Note string        `required:"" placeholder:"TEXT" help:"Why; it is stored."`
	Wait time.Duration `default:"10s" help:"How long to wait for the outcome (default ${default}); 0s not at all."`
}

type caseCreditCommand struct {
	decisionFlags

	User    string `required:"" placeholder:"USER" help:"Whose balance it goes to."`
	NewUser bool   `name:"new-user" help:"The user has no account yet. Without this such an id is taken for misspelt."`
}

// Help is shown below the command's summary.
func (caseCreditCommand) Help() string {
	return `All of it goes to the user's cash, and the case is closed. Example:

    $ settled case credit 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0 --user u1 --by ada --note "paid the closed order, called"
    case:credit 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0:u1: applied

` + decisionHelp
}

const decisionHelp = `A case has one way out, whoever asks and however often. Asked again with the same words it answers the same. Without ` +
	`REDIS_URL the workers find the request by themselves, within seconds. Exit code 1: it was refused, or was asked before with other words.`

// Run asks for the credit.
func (c *caseCreditCommand) Run(ctx context.Context, p *Program) error {
	return c.decide(ctx, p, &tasks.CaseCredit{CaseID: c.Case, UserID: c.User, By: c.By, Note: c.Note}, func(reader *ledger.Reader) error {
		_, err := reader.Balances(ctx, c.User, time.Time{})
		if errors.Is(err, ledger.ErrNotFound) && !c.NewUser {
			return &answerNoError{answer: fmt.Sprintf("user %s has no account; if the id is right, say --new-user", quoted(c.User))}
		}
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		return err
	})
}

type caseReturnCommand struct{ decisionFlags }

// Help is shown below the command's summary.
func (caseReturnCommand) Help() string {
	return `The channel is asked to refund the payment, all of it, under a number that it pays once, and the case is closed. When it ` +
		`refuses for good the money stands in suspense again, under a new case of kind failed_return. Of a failed_refund the refund is asked ` +
		`for again, under a number of the case's own; when it fails again, that is a new failed_refund. Not when the channel holds the money ` +
		`(WeChat Pay's ABNORMAL): that is sent on in the channel's pages. Example:

    $ settled case return 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0 --by ada --note "paid twice"
    case:return 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0: applied

How far the channel is, settled case show says. ` + decisionHelp
}

// Run asks for the return.
func (c *caseReturnCommand) Run(ctx context.Context, p *Program) error {
	return c.decide(ctx, p, &tasks.CaseReturn{CaseID: c.Case, By: c.By, Note: c.Note}, nil)
}

type caseCloseCommand struct {
	decisionFlags

	PaidAtChannel bool `name:"paid-at-channel" xor:"statement" required:"" help:"The money was paid back at the channel, by hand: it leaves the books there."`
	ShortageStays bool `name:"shortage-stays" xor:"statement" required:"" help:"Of paid_twice: nothing stands behind it, and the account stays short."`
}

// Help is shown below the command's summary.
func (caseCloseCommand) Help() string {
	return `Example:

    $ settled case close 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0 --paid-at-channel --by ada --note "refunded in the channel's pages"
    case:close 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0:paid_at_channel: applied

A case with money is never closed with nothing moved. ` + decisionHelp
}

// Run asks for the closing.
func (c *caseCloseCommand) Run(ctx context.Context, p *Program) error {
	statement := tasks.PaidAtChannel
	if c.ShortageStays {
		statement = tasks.ShortageStays
	}
	return c.decide(ctx, p, &tasks.CaseClosing{CaseID: c.Case, Statement: statement, By: c.By, Note: c.Note}, nil)
}

// decide asks for what a person has decided, waits for its outcome and tells it. first may look before anything is asked.
func (c *decisionFlags) decide(ctx context.Context, p *Program, asked tasks.Payload, first func(*ledger.Reader) error) error {
	doorbell, closeDoorbell, err := c.doorbell(p)
	if err != nil {
		return err
	}
	defer closeDoorbell()
	pool, err := c.openPool(ctx, "case")
	if err != nil {
		return err
	}
	defer pool.Close()
	reader := ledger.NewReader(pool)
	if first != nil {
		if err := first(reader); err != nil {
			return notStored(err, c.Case)
		}
	}
	var ringError error
	client, err := tasks.NewClient(ctx, pool, doorbell, tasks.ClientConfig{Producer: "cli", OnRingError: func(err error) { ringError = err }})
	if err != nil {
		return err
	}
	receipt, err := client.Enqueue(ctx, asked)
	client.Close() // waits for the ring
	var refused *tasks.FieldError
	var conflict *tasks.ConflictError
	switch {
	case errors.As(err, &refused):
		return &usageError{problem: err.Error()}
	case errors.As(err, &conflict):
		return &answerNoError{answer: err.Error()}
	case err != nil:
		return err
	}
	if ringError != nil {
		fmt.Fprintf(p.Stderr, "settled: Redis was not told, the workers will find the request by themselves: %v\n", ringError)
	}
	outcome, err := c.await(ctx, reader, receipt)
	switch {
	case err != nil:
		return err
	case outcome == nil:
		fmt.Fprintf(p.Stdout, "%s %s: accepted; settled show %[1]s %[2]s tells what becomes of it\n", receipt.Kind, receipt.Key)
	case outcome.Result == tasks.Rejected:
		return &answerNoError{answer: fmt.Sprintf("%s %s: rejected, %s: %s", receipt.Kind, receipt.Key, outcome.Reason, outcome.Detail)}
	default:
		fmt.Fprintln(p.Stdout, trimRight(fmt.Sprintf("%s %s: %s %s", receipt.Kind, receipt.Key, outcome.Result, outcome.Detail)))
	}
	return nil
}

// outcomeEvery is how often an outcome is looked for.
const outcomeEvery = 100 * time.Millisecond

// await waits for an outcome, as long as was asked for; it is nil when there is none by then.
func (c *decisionFlags) await(ctx context.Context, reader *ledger.Reader, receipt tasks.Receipt) (*tasks.Outcome, error) {
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	ticker := time.NewTicker(outcomeEvery)
	defer ticker.Stop()
	for {
		found, err := reader.Outcomes(ctx, []ledger.RequestRef{{Book: receipt.Book, ID: receipt.ID}})
		if err != nil {
			return nil, err
		}
		if outcome, decided := found[receipt.ID]; decided {
			return &outcome, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-waiting.Done():
			return nil, nil
		case <-ticker.C:
		}
	}
}
