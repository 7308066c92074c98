package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/settled-dev/settled/webhook"
)

type webhookCommand struct {
	Create    webhookCreateCommand    `cmd:"" help:"Make an endpoint that a producer is told at, and print its secret once."`
	List      webhookListCommand      `cmd:"" help:"List the endpoints, with what waits and what is dead."`
	Disable   webhookDisableCommand   `cmd:"" help:"Stop telling an endpoint for good; what waits is kept."`
	Enable    webhookEnableCommand    `cmd:"" help:"Tell a disabled endpoint again: what waits, and what is decided from now on."`
	Rotate    webhookRotateCommand    `cmd:"" help:"Give an endpoint a new secret, and print it once."`
	Messages  webhookMessagesCommand  `cmd:"" help:"List an endpoint's messages, and what became of them."`
	Redeliver webhookRedeliverCommand `cmd:"" aliases:"replay" help:"Deliver messages again: some, the dead ones, or all from one on."`
}

// endpointFlags name an endpoint.
type endpointFlags struct {
	databaseFlags

	Endpoint string `arg:"" help:"The endpoint's id, as listed: we_ and 32 hex digits."`
}

// change opens the registry as the owner of the tables, and names what was wrong.
func (f databaseFlags) change(ctx context.Context, change func(*webhook.Registry) error) error {
	pool, err := f.openOwner(ctx, "webhook")
	if err != nil {
		return err
	}
	defer pool.Close()
	return wrongEndpoint(change(&webhook.Registry{Pool: pool}))
}

// look opens the registry to read it only.
func (f databaseFlags) look(ctx context.Context, look func(*webhook.Registry) error) error {
	pool, err := f.openPool(ctx, "webhook")
	if err != nil {
		return err
	}
	defer pool.Close()
	return wrongEndpoint(look(&webhook.Registry{Pool: pool}))
}

func wrongEndpoint(err error) error {
	if errors.Is(err, webhook.ErrNoEndpoint) {
		return &answerNoError{answer: "there is no such endpoint; `settled webhook list` lists them"}
	}
	return wrongFlag(err)
}

type webhookCreateCommand struct {
	databaseFlags
	operatorFlags

	Producer     string   `required:"" placeholder:"NAME" help:"Whose requests' outcomes are told."`
	URL          string   `name:"url" required:"" placeholder:"URL" help:"Where they are posted: https, and a public address."`
	Event        []string `required:"" placeholder:"EVENT" help:"What is told; give it once for each event, or several with commas."`
	AllowPrivate bool     `name:"allow-private" setting:"SETTLED_WEBHOOKS_ALLOW_PRIVATE" help:"Take a private or loopback address and plain http too; the workers must be told so as well."`
}

// Help is shown below the command's summary.
func (webhookCreateCommand) Help() string {
	return `The secret goes to standard output, and what it belongs to, to standard error. It cannot be shown again: hand it to the ` +
		`producer, who verifies every message by it. Example:

    $ settled webhook create --producer shop --url https://shop.example/settled --event refund.applied,refund.rejected --by ada
    endpoint we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f of shop: refund.applied, refund.rejected; https://shop.example/settled
    whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=

An endpoint inside a closed network, which has a private or loopback address or speaks plain http, is taken with --allow-private; the
workers need --webhooks-allow-private to call it.

The endpoint is told of outcomes from now on. The events: ` + strings.Join(eventNames(webhook.Events()), ", ") + `.

DATABASE_URL must name the user that migrates. docs/webhooks.md tells producers how to verify messages.`
}

// Run makes the endpoint.
func (c *webhookCreateCommand) Run(ctx context.Context, p *Program) error {
	asked := webhook.NewEndpoint{Producer: c.Producer, URL: c.URL, By: c.By}
	for _, name := range c.Event {
		asked.Events = append(asked.Events, webhook.Event(name))
	}
	return c.change(ctx, func(r *webhook.Registry) error {
		r.Guard = webhook.Guard{AllowPrivate: c.AllowPrivate}
		e, secret, err := r.Add(ctx, asked)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.Stderr, "endpoint %s of %s: %s; %s\n", e.ID, e.Producer, strings.Join(eventNames(e.Events), ", "), e.URL)
		_, err = fmt.Fprintln(p.Stdout, secret.Reveal())
		return err
	})
}

func eventNames(events []webhook.Event) []string {
	names := make([]string, len(events))
	for i, event := range events {
		names[i] = string(event)
	}
	return names
}

type webhookListCommand struct {
	databaseFlags

	Producer string `placeholder:"NAME" help:"Only this producer's endpoints."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (webhookListCommand) Help() string {
	return `Every endpoint, the oldest first, with how many messages it was sent, how many wait, and how many are dead. Example:

    $ settled webhook list
    endpoint                             producer  messages  waiting  dead  disabled  url
    we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f  shop          4117        2     0            https://shop.example/settled

By --json: [{"id", "producer", "url", "events", "created_at", "created_by", "disabled_at", "disabled_because", "next_sequence", ` +
		`"waiting", "dead", "state", "delivered_to", "last_problem"}]. The state is enabled, disabled, or gone, which answered 410; every ` +
		`message up to "delivered_to" is delivered.`
}

// Run lists the endpoints.
func (c *webhookListCommand) Run(ctx context.Context, p *Program) error {
	return c.look(ctx, func(r *webhook.Registry) error {
		endpoints, err := r.Endpoints(ctx, c.Producer)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.Stdout, endpoints)
		}
		if len(endpoints) == 0 {
			fmt.Fprintln(p.Stdout, "there are no endpoints: nobody is told")
			return nil
		}
		text := table{columns: []column{left("endpoint"), left("producer"), right("messages"), right("waiting"), right("dead"), left("disabled"),
			left("url")}}
		for _, e := range endpoints {
			text.add(e.ID, e.Producer, fmt.Sprint(e.Next-1), fmt.Sprint(e.Waiting), fmt.Sprint(e.Dead), oneLine(e.Because), e.URL)
		}
		text.print(p.Stdout, "")
		return nil
	})
}

type webhookDisableCommand struct {
	endpointFlags
	operatorFlags

	Because string `required:"" placeholder:"TEXT" help:"Why; it is listed."`
}

// Help is shown below the command's summary.
func (webhookDisableCommand) Help() string {
	return `Outcomes that are decided from now on are not told there, not even when it is enabled again. What waits is kept. An endpoint that
its answer of 410 has disabled goes on gathering messages, which wait; this ends that. Example:

    $ settled webhook disable we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f --because "the shop has moved" --by ada
    endpoint we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f is disabled

Twice, the first person's reason stays. Exit code 1: there is no such endpoint.`
}

// Run disables the endpoint.
func (c *webhookDisableCommand) Run(ctx context.Context, p *Program) error {
	return c.change(ctx, func(r *webhook.Registry) error {
		if err := r.Disable(ctx, c.Endpoint, c.Because, c.By); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "endpoint %s is disabled\n", c.Endpoint)
		return err
	})
}

type webhookEnableCommand struct{ endpointFlags }

// Help is shown below the command's summary.
func (webhookEnableCommand) Help() string {
	return `What waited is delivered when it is next due; "settled webhook redeliver" makes it due at once. What was decided while it was
disabled has waited too when its answer of 410 had disabled it; when a person had, it is not told. Example:

    $ settled webhook enable we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f
    endpoint we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f is enabled

Exit code 1: there is no such endpoint.`
}

// Run enables the endpoint.
func (c *webhookEnableCommand) Run(ctx context.Context, p *Program) error {
	return c.change(ctx, func(r *webhook.Registry) error {
		if err := r.Enable(ctx, c.Endpoint); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "endpoint %s is enabled\n", c.Endpoint)
		return err
	})
}

type webhookRotateCommand struct {
	endpointFlags

	Overlap time.Duration `default:"24h" placeholder:"DURATION" help:"How long messages are signed by the old secret as well, up to 720h (default ${default}); 0s: it was stolen."`
}

// Help is shown below the command's summary.
func (webhookRotateCommand) Help() string {
	return `During the overlap every message has both signatures, so that the producer can change over at any moment. Example:

    $ settled webhook rotate we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f
    whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD9sS0Xr3qD1c=

Exit code 1: there is no such endpoint.`
}

// Run rotates the secret.
func (c *webhookRotateCommand) Run(ctx context.Context, p *Program) error {
	return c.change(ctx, func(r *webhook.Registry) error {
		secret, err := r.Rotate(ctx, c.Endpoint, c.Overlap)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.Stdout, secret.Reveal())
		return err
	})
}

type webhookMessagesCommand struct {
	endpointFlags

	From  int64  `default:"1" placeholder:"N" help:"The first sequence to list (default ${default})."`
	State string `enum:",waiting,delivered,dead" default:"" placeholder:"STATE" help:"Only messages in this state: waiting, delivered or dead."`
	Limit int    `default:"100" help:"How many to list (default ${default})."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (webhookMessagesCommand) Help() string {
	return `In the order of their sequence. Example:

    $ settled webhook messages we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f --state dead
    sequence  event           request          state  attempts  problem          made
          17  refund.applied  refund:apply r9  dead         10  it answered 500  2026-01-02 12:00:00.480

By --json: [{"sequence", "event", "kind", "key", "state", "attempts", "last_status", "last_problem", "created_at", "next_try_at", ` +
		`"ended_at"}]. Exit code 1: there is no such endpoint.`
}

// Run lists the messages.
func (c *webhookMessagesCommand) Run(ctx context.Context, p *Program) error {
	if c.Limit < 1 {
		return &usageError{problem: fmt.Sprintf("--limit: is %d; allowed: 1 or more", c.Limit)}
	}
	return c.look(ctx, func(r *webhook.Registry) error {
		messages, err := r.Messages(ctx, c.Endpoint, c.From, webhook.State(c.State), c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.Stdout, messages)
		}
		if len(messages) == 0 {
			fmt.Fprintln(p.Stdout, "there are no such messages")
			return nil
		}
		text := table{columns: []column{right("sequence"), left("event"), left("request"), left("state"), right("attempts"), left("problem"),
			left("made")}}
		for _, m := range messages {
			text.add(fmt.Sprint(m.Sequence), string(m.Event), string(m.Kind)+" "+m.Key, string(m.State), fmt.Sprint(m.Attempts), m.Problem,
				local(m.CreatedAt))
		}
		text.print(p.Stdout, "")
		return nil
	})
}

type webhookRedeliverCommand struct {
	endpointFlags

	Sequence []int64 `arg:"" optional:"" help:"The messages' sequences."`
	Dead     bool    `help:"Those that are dead."`
	From     *int64  `placeholder:"N" help:"Those from this sequence on; without --dead, whatever became of them."`
	To       *int64  `placeholder:"N" help:"Not beyond this sequence (default: the newest)."`
}

// Help is shown below the command's summary.
func (webhookRedeliverCommand) Help() string {
	return `Each comes under its own id and sequence, as often and as long as a new one. Example:

    $ settled webhook redeliver we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f 17 21
    2 messages are delivered again
    $ settled webhook redeliver we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f --dead
    3 messages are delivered again
    $ settled webhook replay we_5d0c6f1e7a9b4c3d8e2f1a0b9c8d7e6f --from 4000
    118 messages are delivered again

Those of a disabled endpoint wait until it is enabled. Exit code 1: there is no such endpoint or message.`
}

// Run redelivers.
func (c *webhookRedeliverCommand) Run(ctx context.Context, p *Program) error {
	ranges, err := c.ranges()
	if err != nil {
		return err
	}
	state := webhook.State("")
	if c.Dead {
		state = webhook.Dead
	}
	return c.change(ctx, func(r *webhook.Registry) error {
		var all int64
		for _, asked := range ranges {
			n, err := r.Redeliver(ctx, c.Endpoint, asked.from, asked.to, state)
			if err != nil {
				return err
			}
			all += n
		}
		if all == 0 {
			return &answerNoError{answer: "there are no such messages; `settled webhook messages` lists them"}
		}
		verb := "are"
		if all == 1 {
			verb = "is"
		}
		_, err := fmt.Fprintf(p.Stdout, "%s %s delivered again\n", plural(int(all), "message"), verb)
		return err
	})
}

// sequenceRange is what is asked for, both ends included.
type sequenceRange struct{ from, to int64 }

func (c *webhookRedeliverCommand) ranges() ([]sequenceRange, error) {
	chosen := len(c.Sequence) > 0
	if chosen == (c.Dead || c.From != nil) || chosen && c.To != nil {
		return nil, &usageError{problem: "which messages? Give their sequences, or --dead, or --from N"}
	}
	if !chosen {
		asked := sequenceRange{1, webhook.Newest}
		if c.From != nil {
			asked.from = *c.From
		}
		if c.To != nil {
			asked.to = *c.To
		}
		return []sequenceRange{asked}, nil
	}
	ranges := make([]sequenceRange, len(c.Sequence))
	for i, sequence := range c.Sequence {
		ranges[i] = sequenceRange{sequence, sequence}
	}
	return ranges, nil
}
