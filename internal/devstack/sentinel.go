package devstack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Watched is a Redis master with one replica, both watched by one Sentinel. Its methods may be called at the same time.
type Watched struct {
	// URL names database 0 of whichever server Sentinel calls the master.
	URL string
	// Master and Replica are the servers by the roles that they began with.
	Master, Replica *Redis

	sentinel *Redis
}

// watchedName is what Sentinel calls the master.
const watchedName = "settled"

// StartWatched starts two empty servers that keep nothing and a Sentinel, and returns when the replica follows and Sentinel knows it.
// Sentinel takes a master for dead that has not answered for downAfter, one second or more. ctx bounds the start. Fails with *MissingError when
// Redis is not installed.
func StartWatched(ctx context.Context, downAfter time.Duration) (_ *Watched, err error) {
	w := &Watched{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if w.Master, err = StartRedis(ctx, RedisOptions{}); err != nil {
		return nil, err
	}
	if w.Replica, err = StartRedis(ctx, RedisOptions{}); err != nil {
		return nil, err
	}
	if err := follow(ctx, w.Replica, w.Master); err != nil {
		return nil, err
	}
	w.sentinel, err = launchRedis(ctx, &Redis{path: w.Master.path, sentinel: fmt.Sprintf(
		"sentinel monitor %[1]s 127.0.0.1 %[2]d 1\nsentinel down-after-milliseconds %[1]s %[3]d\nsentinel failover-timeout %[1]s 20000\n",
		watchedName, w.Master.port, downAfter.Milliseconds())})
	if err != nil {
		return nil, err
	}
	w.URL = fmt.Sprintf("redis://%s/0?master_name=%s", loopback(w.sentinel.port), watchedName)
	return w, w.untilKnown(ctx)
}

// follow makes replica a replica of master, and returns when it has all that the master holds.
func follow(ctx context.Context, replica, master *Redis) error {
	client := redis.NewClient(&redis.Options{Addr: loopback(replica.port)})
	defer func() { _ = client.Close() }()
	if err := client.SlaveOf(ctx, "127.0.0.1", fmt.Sprint(master.port)).Err(); err != nil {
		return fmt.Errorf("make a replica: %w", err)
	}
	return untilHolds(ctx, func() bool {
		return strings.Contains(client.Info(ctx, "replication").Val(), "master_link_status:up")
	})
}

// untilKnown waits until Sentinel knows the replica as one that is well.
func (w *Watched) untilKnown(ctx context.Context) error {
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: loopback(w.sentinel.port)})
	defer func() { _ = sentinel.Close() }()
	return untilHolds(ctx, func() bool {
		replicas, err := sentinel.Replicas(ctx, watchedName).Result()
		return err == nil && len(replicas) == 1 && replicas[0]["flags"] == "slave" && replicas[0]["master-link-status"] == "ok"
	})
}

func untilHolds(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for Sentinel: %w", ctx.Err())
		}
	}
	return nil
}

// Stop ends all three servers and removes their data. Stopping twice does nothing.
func (w *Watched) Stop(ctx context.Context) error {
	var errs []error
	for _, server := range []*Redis{w.sentinel, w.Replica, w.Master} { // Sentinel first: there is nothing to repair
		if server != nil {
			errs = append(errs, server.Stop(ctx))
		}
	}
	return errors.Join(errs...)
}
