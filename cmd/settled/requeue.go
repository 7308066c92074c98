package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

type requeueCommand struct {
	databaseFlags
	redisFlags
	operatorFlags

	Kind string `arg:"" help:"The request's kind, such as refund:apply."`
	Key  string `arg:"" help:"The producer's own id."`
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

Without REDIS_URL the workers find the request by themselves, within seconds. Exit code 1: the request is not dead, or not there.`
}

// Run requeues the request.
func (c *requeueCommand) Run(ctx context.Context, p *Program) error {
	kind, err := knownKind(c.Kind)
	if err != nil {
		return err
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
