package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// policyBytesMax is far above any real policy.
const policyBytesMax = 1 << 20

type policyCommand struct {
	databaseFlags
	operatorFlags

	Set string `placeholder:"FILE" help:"Set the policy in this file, or on standard input (-), as a new version."`
}

// Help is shown below the command's summary.
func (policyCommand) Help() string {
	return `The policy is printed as JSON on standard output, its version on standard error, so that it can be edited and set:

    $ settled policy >policy.json
    policy 3
    $ settled policy --set policy.json --by ada
    policy 4

The new version counts from the next batch on, for every worker. Fields that the file leaves out get their defaults. refund_split: ` +
		`proportional, external_first or balance_first. balance_excluded_lines: the kinds of order line that balance cannot pay. ` +
		`merchants_without_balance: who takes channels only. products: what idle balance can be swept into, and the least worth ` +
		`sweeping. park_hours_max: how long a refund waits for its payment before a person is asked. ` +
		`refund_limits: of each channel, how many days after its capture a payment can be refunded there (days_max), and how often ` +
		`(refunds_max); 0 is no limit. sweep_users_max: users per part of a sweep. ` +
		`transferred_per_day_max, transfers_per_day_max: how much, and how often, a user may send to others on one business date; ` +
		`100000000000.00 and 1000000 limit nobody in practice. ` +
		`returned_suspensions: of second_payment (alone by default), closed_order, wrong_amount and wrong_channel, the payments ` +
		`that are sent back to their payers by themselves. Exit code 2: the file holds no policy; the field is named.`
}

// Run prints or sets the policy.
func (c *policyCommand) Run(ctx context.Context, p *Program) error {
	if c.Set != "" {
		return c.set(ctx, p)
	}
	return c.read(ctx, "policy", func(reader *ledger.Reader) error {
		policy, version, err := reader.Policy(ctx)
		if err != nil {
			return err
		}
		tellPolicy(p, version)
		return printJSON(p.Stdout, policy)
	})
}

func (c *policyCommand) set(ctx context.Context, p *Program) error {
	document, err := p.readAll(c.Set, policyBytesMax)
	if err != nil {
		return err
	}
	policy, err := tasks.ParsePolicy(document)
	if err != nil {
		return &usageError{problem: "--set " + c.Set + ": " + err.Error()}
	}
	pool, err := c.openPool(ctx, "policy")
	if err != nil {
		return err
	}
	defer pool.Close()
	version, err := ledger.SetPolicy(ctx, pool, policy, c.By)
	if err != nil {
		return err
	}
	tellPolicy(p, version)
	return nil
}

func tellPolicy(p *Program, version int) {
	if version == 0 {
		fmt.Fprintln(p.Stderr, "policy 0: the defaults, none was set yet")
		return
	}
	fmt.Fprintf(p.Stderr, "policy %d\n", version)
}

// open opens a file, or standard input for "-". The caller closes it.
func (p *Program) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, &usageError{problem: err.Error()}
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close()
		return nil, &usageError{problem: name + " is a directory; allowed: a file, or - for standard input"}
	}
	return file, nil
}

// readAll reads a small file, or standard input for "-".
func (p *Program) readAll(name string, bytesMax int64) ([]byte, error) {
	file, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, bytesMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case int64(len(content)) > bytesMax:
		return nil, &usageError{problem: fmt.Sprintf("%s has more than %d bytes", name, bytesMax)}
	default:
		return content, nil
	}
}
