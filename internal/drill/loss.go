package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/redisurl"
)

// Flush is a Redis that answers all the time and forgets everything between two answers.
func Flush(client redis.UniversalClient) Loss {
	return Loss{End: func(ctx context.Context) error { return client.FlushDB(ctx).Err() }}
}

// Freeze is a Redis that cannot be stopped, because it is somebody else's: in one transaction its database is emptied, all its clients
// are disconnected, and it answers nobody for the outage (CLIENT PAUSE). It ends by itself, whatever becomes of the drill. Other
// databases of the server keep what they hold, and are away as well.
func Freeze(client redis.UniversalClient, outage time.Duration, timer clock.Timer) Loss {
	return Loss{
		Begin: func(ctx context.Context) error {
			_, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.FlushDB(ctx)
				pipe.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
				pipe.Do(ctx, "CLIENT", "PAUSE", outage.Milliseconds(), "ALL")
				return nil
			})
			return err
		},
		End: func(ctx context.Context) error { return untilAnswers(ctx, client, timer) },
	}
}

// Kill is a Redis of our own whose process is killed, and started again with nothing.
func Kill(server *devstack.Redis) Loss {
	return Loss{
		Begin: func(context.Context) error { return server.Kill() },
		End:   func(ctx context.Context) error { return server.Restart(ctx, true) },
	}
}

// Failover is a master that Sentinel replaces by a replica; client follows Sentinel. What the replica does not hold is lost.
func Failover(server redisurl.Server, client redis.UniversalClient, timer clock.Timer) Loss {
	var old string
	return Loss{
		Begin: func(ctx context.Context) (err error) {
			if old, err = server.Master(ctx); err != nil {
				return err
			}
			return server.Failover(ctx)
		},
		End: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, failoverMax)
			defer cancel()
			for {
				now, err := server.Master(ctx)
				if err == nil && now != old {
					return untilAnswers(ctx, client, timer)
				}
				select {
				case <-timer.After(lookInterval):
				case <-ctx.Done():
					return fmt.Errorf("sentinel has replaced no master within %s: %w", failoverMax, errors.Join(context.Cause(ctx), err))
				}
			}
		},
	}
}

// failoverMax is how long Sentinel may take: by its default it gives a failover up after three minutes.
const failoverMax = 3 * time.Minute

// untilAnswers waits until Redis takes a write: a master that was replaced still answers.
func untilAnswers(ctx context.Context, client redis.UniversalClient, timer clock.Timer) error {
	for {
		err := client.Set(ctx, "settled:drill", "", time.Second).Err()
		if err == nil {
			return nil
		}
		select {
		case <-timer.After(lookInterval):
		case <-ctx.Done():
			return fmt.Errorf("wait for redis: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}
