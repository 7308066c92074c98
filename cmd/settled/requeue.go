package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

type requeueCommand struct {
	databaseFlags
	redisFlags
	operatorFlags

	Kind string `arg:"" optional:"" help:"The request's kind, such as refund:apply."`
	Key  string `arg:"" optional:"" help:"The producer's own id."`

	Dead    bool   `help:"All that are dead and of --kind, instead of one."`
	OfKind  string `name:"kind" placeholder:"KIND" help:"With --dead: of this kind."`
	Channel string `placeholder:"NAME" help:"With --dead: that name this channel, as a refund:send does."`
	Reason  string `placeholder:"TEXT" help:"With --dead: whose last error contains this text."`
	DryRun  bool   `help:"With --dead: only count them."`
}

// operatorFlags say who decided something that a person must answer for.
type operatorFlags struct {
	By string `setting:"USER" default:"operator" placeholder:"NAME" help:"Who decides this; it is stored."`
}

// Help is shown below the command's summary.
func (requeueCommand) Help() string {
	return `Twice, or by two people at once, it is requeued once. Who did it stands on the request's timeline. Example:

    $ settled requeue refund:apply r9 --by ada
    refund:apply r9 runs again

Those that died of one cause, together; "settled dead" shows the causes:

    $ settled requeue --dead --kind refund:send --channel wechat --reason INVALID_REQUEST --dry-run
    2 dead refund:send would run again

Without REDIS_URL the workers find the request by themselves, within seconds. Exit code 1: the request is not dead, or not there.`
}

// Run requeues the request, or all that are meant.
func (c *requeueCommand) Run(ctx context.Context, p *Program) error {
	kind, filter, err := c.meant()
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.read(ctx, "requeue", func(reader *ledger.Reader) error {
			dead, err := reader.CountDead(ctx, filter)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.Stdout, "%d dead %s would run again\n", dead, filter.Kind)
			return nil
		})
	}
	doorbell, closeDoorbell, err := c.doorbell(p)
	if err != nil {
		return err
	}
	defer closeDoorbell()
	pool, err := c.openPool(ctx, "requeue")
	if err != nil {
		return err
	}
	defer pool.Close()
	books, err := ledger.Open(ctx, pool, ledger.Config{Ring: func(bells []tasks.Bell) { ringOrTell(ctx, p, doorbell, bells) }})
	if err != nil {
		return err
	}
	defer books.Close()
	if c.Dead {
		requeued, err := books.RequeueDead(ctx, filter, c.By)
		fmt.Fprintf(p.Stdout, "%d dead %s run again\n", requeued, filter.Kind)
		return err
	}
	err = books.Requeue(ctx, kind, c.Key, c.By)
	if errors.Is(err, ledger.ErrNotDead) {
		record, lookErr := ledger.NewReader(pool).Record(ctx, kind, c.Key)
		if lookErr != nil {
			return lookErr
		}
		return fmt.Errorf("%w: it is %s", err, record.State)
	}
	if err != nil {
		return notStored(err, fmt.Sprintf("%s %q", kind, c.Key))
	}
	fmt.Fprintf(p.Stdout, "%s %s runs again\n", kind, c.Key)
	return nil
}

// meant reads which request is meant, or with --dead which ones.
func (c *requeueCommand) meant() (kind tasks.Kind, filter ledger.DeadFilter, err error) {
	filter = ledger.DeadFilter{Channel: tasks.Source(c.Channel), Reason: c.Reason}
	switch {
	case !c.Dead && (c.OfKind != "" || c.Channel != "" || c.Reason != "" || c.DryRun):
		return "", filter, &usageError{problem: "--kind, --channel, --reason and --dry-run choose among many: they go with --dead"}
	case !c.Dead && c.Key == "":
		return "", filter, &usageError{problem: "which request? its kind and key, or --dead --kind"}
	case !c.Dead:
		kind, err = knownKind(c.Kind)
		return kind, filter, err
	case c.Kind != "" || c.OfKind == "":
		return "", filter, &usageError{problem: "--dead goes with --kind, and with no request of its own"}
	case c.Channel != "" && !slices.Contains(tasks.Channels(), filter.Channel):
		return "", filter, &usageError{problem: fmt.Sprintf("--channel: is %q; allowed: %v", c.Channel, tasks.Channels())}
	default:
		filter.Kind, err = knownKind(c.OfKind)
		return "", filter, err
	}
}

// ringOrTell rings for requests; a ring that fails costs seconds, because the workers look for themselves.
func ringOrTell(ctx context.Context, p *Program, doorbell *tasks.Doorbell, bells []tasks.Bell) {
	if doorbell == nil {
		return
	}
	if err := doorbell.Ring(ctx, bells, tasks.RingIDsMax, false); err != nil {
		fmt.Fprintf(p.Stderr, "settled: Redis was not told, the workers will find the request by themselves: %v\n", err)
	}
}

// doorbell is nil without REDIS_URL. The caller calls the function when it has rung.
func (f redisFlags) doorbell(p *Program) (*tasks.Doorbell, func(), error) {
	if f.RedisURL == "" {
		return nil, func() {}, nil
	}
	client, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	return tasks.NewDoorbell(client), func() {
		if err := client.Close(); err != nil {
			fmt.Fprintf(p.Stderr, "settled: close Redis: %v\n", err)
		}
	}, nil
}

// knownKind reads any kind, those too that only settled itself asks for.
func knownKind(text string) (tasks.Kind, error) {
	if kind := tasks.Kind(text); kind.Known() {
		return kind, nil
	}
	_, err := tasks.ParseKind(text)
	return "", &usageError{problem: err.Error()}
}
