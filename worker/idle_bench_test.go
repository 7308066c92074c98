package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/tasks"
)

// BenchmarkIdle runs the seven servers of ServersDefault with nothing to do, then with a ring now and then: what idling costs, and
// how soon a ring is picked up. Run it with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	for _, c := range []struct {
		waits    bool
		interval time.Duration
	}{{false, 10 * time.Millisecond}, {false, 100 * time.Millisecond}, {true, 50 * time.Millisecond}, {true, 100 * time.Millisecond}} {
		b.Run(fmt.Sprintf("waits=%t/interval=%s", c.waits, c.interval), func(b *testing.B) { benchmarkIdle(b, c.waits, c.interval) })
	}
}

func benchmarkIdle(b *testing.B, waits bool, interval time.Duration) {
	const idle = 8 * time.Second
	options, err := RedisOptions(redistest.New(b).URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	client := OpenRedis(options)
	b.Cleanup(func() { _ = client.Close() })
	var inner redis.UniversalClient = client
	if waits {
		waiting := newIdleWait(client)
		b.Cleanup(waiting.close)
		inner = waiting
	}
	picked := make(chan time.Time, 1)
	startBenchServers(b, &hardenedRedis{UniversalClient: inner, metrics: newMetrics(nil)}, interval, picked)
	<-clock.System.After(time.Second)
	process, server := processCPU(b), redisCPU(b, client)
	<-clock.System.After(idle)
	b.ReportMetric(100*(processCPU(b)-process).Seconds()/idle.Seconds(), "go-%core")
	b.ReportMetric(100*(redisCPU(b, client)-server).Seconds()/idle.Seconds(), "redis-%core")
	bell := tasks.NewDoorbell(client)
	var pickups []time.Duration
	for range 200 {
		begun := clock.System.Now()
		if err := bell.Ring(b.Context(), []tasks.Bell{{Kind: tasks.RefundApply}}, 1, false); err != nil {
			b.Fatal(err)
		}
		pickups = append(pickups, (<-picked).Sub(begun))
		<-clock.System.After(rand.N(20 * time.Millisecond))
	}
	slices.Sort(pickups)
	b.ReportMetric(pickups[100].Seconds()*1000, "ms-p50")
	b.ReportMetric(pickups[197].Seconds()*1000, "ms-p99")
}

func startBenchServers(b *testing.B, client redis.UniversalClient, interval time.Duration, picked chan<- time.Time) {
	b.Helper()
	for queue, n := range ServersDefault() {
		for range n {
			server := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: 64, Queues: map[string]int{string(queue): 1},
				TaskCheckInterval: interval, DelayedTaskCheckInterval: time.Second, LogLevel: asynq.ErrorLevel})
			if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
				picked <- clock.System.Now()
				return nil
			})); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(server.Shutdown)
		}
	}
}
