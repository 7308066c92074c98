package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

type requestCommand struct {
	databaseFlags
	redisFlags

	Kind     string `arg:"" help:"What is asked for: payment:capture, refund:apply, recharge:confirm, reward:grant, transfer:send, wealth:enrol, sweep:run, case:credit, case:return or case:close."`
	File     string `required:"" short:"f" placeholder:"FILE" help:"JSON lines, one request a line; - for standard input."`
	Producer string `default:"cli" placeholder:"NAME" help:"Who asks; it is stored (default ${default})."`
}

// Help is shown below the command's summary.
func (requestCommand) Help() string {
	return `Amounts are strings in yuan, times RFC 3339. The fields of each kind; those with ? may be left out:

    payment:capture   order_id, user_id, merchant_id, legs, lines?, balance_exclusive?, occurred_at
                        legs:  [{source, amount, channel_txn_id?}]
                               source: cash, reward, wechat, alipay, unionpay or ecny
                        lines: [{line_id, kind, amount}]
                               kind: goods, virtual, shipping or coupon
    refund:apply      refund_id, order_id, user_id, amount, lines?, to?, if_refused?, reason?, occurred_at
                        lines: [{line_id, amount}]
                        to:    origin or balance
    recharge:confirm  recharge_id, user_id, channel, channel_txn_id, amount, occurred_at
    reward:grant      reward_id, user_id, campaign_id, amount, occurred_at
    transfer:send     transfer_id, from_user_id, to_user_id, amount, occurred_at
    wealth:enrol      enrolment_id, user_id, product_id, keep_amount, consent_version, occurred_at
    sweep:run         product_id, business_date
    case:credit       case_id, user_id, by, note
    case:return       case_id, by, note
    case:close        case_id, statement, by, note
                        statement: paid_at_channel or shortage_stays

Each line gets a line of JSON as its answer, in the same order, with "line" and "status":

    accepted   stored durably; "id" and "key"
    replayed   stored before with the same content; "outcome" once it is decided
    conflict   its key was used before with other content; "fields" tells what differs
    refused    "error" tells the "field", its "problem", and what is "allowed"; nothing is stored

Example:

    $ cat rewards.jsonl
    {"reward_id":"rw1","user_id":"u1","campaign_id":"c1","amount":"5.00","occurred_at":"2026-01-02T12:00:00+08:00"}
    $ settled request reward:grant --file rewards.jsonl
    {"line":1,"status":"accepted","id":"019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11","key":"rw1"}

Lines are read as they are needed, so a file may be of any size. After an interruption or exit code 3 run the same command again: what ` +
		`was accepted is replayed. Without REDIS_URL the workers find the requests by themselves, within seconds. Exit code 1: a line ` +
		`was refused or conflicts.`
}

// Run accepts the file's requests.
func (c *requestCommand) Run(ctx context.Context, p *Program) error {
	kind, err := tasks.ParseKind(c.Kind)
	if err != nil {
		return &usageError{problem: err.Error()}
	}
	file, err := p.open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	doorbell, closeDoorbell, err := c.doorbell(p)
	if err != nil {
		return err
	}
	defer closeDoorbell()
	pool, err := c.openPool(ctx, "request")
	if err != nil {
		return err
	}
	defer pool.Close()
	var ringError error
	client, err := tasks.NewClient(ctx, pool, doorbell, tasks.ClientConfig{Producer: c.Producer,
		OnRingError: func(err error) { ringError = err }})
	if err != nil {
		var bad *tasks.FieldError
		if errors.As(err, &bad) {
			return &usageError{problem: "--producer: " + err.Error()}
		}
		return err
	}
	acceptor := &lineAcceptor{client: client, answers: json.NewEncoder(p.Stdout), clock: clock.System, bar: progress(p, file)}
	acceptor.answers.SetEscapeHTML(false)
	err = acceptor.run(ctx, kind, file)
	client.Close() // waits for the rings
	acceptor.bar.done()
	fmt.Fprintln(p.Stderr, acceptor.summary())
	if ringError != nil {
		fmt.Fprintf(p.Stderr, "settled: Redis was not told of all, the workers will find them by themselves: %v\n", ringError)
	}
	if err == nil && acceptor.tally.Refused+acceptor.tally.Conflicts > 0 {
		err = errNo
	}
	return err
}

// lineAcceptor accepts lines in chunks and answers them in their order.
type lineAcceptor struct {
	client  *tasks.Client
	answers *json.Encoder
	clock   clock.Clock
	bar     bar

	last  int // line that was answered
	tally intake.Tally
}

// run reads ahead while it accepts, a chunk at a time.
func (a *lineAcceptor) run(ctx context.Context, kind tasks.Kind, stream io.Reader) error {
	chunks := make(chan intake.Chunk)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	lines := intake.NewLines(stream)
	go intake.ReadChunks(reading, func() intake.Chunk { return lines.ReadChunk(kind) }, chunks)
	for {
		var chunk intake.Chunk
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped after line %d: %w", a.last, context.Cause(ctx))
		case chunk = <-chunks:
		}
		if len(chunk.Answers) > 0 {
			if err := a.accept(ctx, chunk); err != nil {
				return err
			}
		}
		if chunk.Ended() {
			return nil
		}
		if chunk.Err != nil {
			return chunk.Err
		}
	}
}

// accept accepts a chunk and writes its answers.
func (a *lineAcceptor) accept(ctx context.Context, chunk intake.Chunk) error {
	first, last := chunk.Answers[0].Line, chunk.Answers[len(chunk.Answers)-1].Line
	chunk.RefuseAhead(a.clock.Now())
	if err := chunk.Accept(ctx, a.client, func(string) bool { return true }); err != nil {
		return fmt.Errorf("whether lines %d to %d were accepted is unknown, run the same command again: %w", first, last,
			errors.Join(context.Cause(ctx), err))
	}
	a.tally.Add(chunk.Answers)
	for _, answer := range chunk.Answers {
		if err := a.answers.Encode(answer); err != nil {
			return fmt.Errorf("write the answer to line %d: %w", answer.Line, err)
		}
	}
	a.last = last
	a.bar.set(chunk.Read)
	return nil
}

func (a *lineAcceptor) summary() string {
	t := a.tally
	return fmt.Sprintf("%d accepted, %d replayed, %d conflicts, %d refused", t.Accepted, t.Replayed, t.Conflicts, t.Refused)
}

// bar shows how far a file was read; the zero bar shows nothing.
type bar struct{ shown *progressbar.ProgressBar }

// progress shows a bar on a terminal, unless the answers appear there themselves.
func progress(p *Program, file io.Reader) bar {
	if !isTerminal(p.Stderr) || isTerminal(p.Stdout) {
		return bar{}
	}
	size := int64(-1) // a spinner
	if regular, ok := file.(*os.File); ok {
		if info, err := regular.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	return bar{shown: progressbar.NewOptions64(size, progressbar.OptionSetWriter(p.Stderr),
		progressbar.OptionSetDescription("accepting"), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())}
}

// set and done ignore errors: a bar that cannot be drawn is no reason to stop.
func (b bar) set(bytes int64) {
	if b.shown != nil {
		_ = b.shown.Set64(bytes)
	}
}

func (b bar) done() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := underlying(w).(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
