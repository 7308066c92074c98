package worker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/tasks"
)

// BenchmarkDrain empties a queue of 50,000 rings of one request with an empty handler: what asynq alone costs, with and without the
// combining of `done`. Run it with -benchtime 1x -count 5 and compare medians.
func BenchmarkDrain(b *testing.B) {
	for _, combined := range []bool{false, true} {
		for _, grouped := range []bool{false, true} {
			b.Run(fmt.Sprintf("combined=%t/grouped=%t", combined, grouped), func(b *testing.B) { benchmarkDrain(b, combined, grouped) })
		}
	}
}

func benchmarkDrain(b *testing.B, combined, grouped bool) {
	const rings, servers, concurrency = 50_000, 4, 64
	options, err := RedisOptions(redistest.New(b).URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	client := OpenRedis(options)
	b.Cleanup(func() { _ = client.Close() })
	m := newMetrics(nil)
	var inner redis.UniversalClient = client
	if combined {
		inner = newDoneCombiner(client, m)
	}
	hardened := &hardenedRedis{UniversalClient: inner, metrics: m}
	bell := tasks.NewDoorbell(client)
	var took, process, server time.Duration
	for b.Loop() {
		b.StopTimer()
		bells := make([]tasks.Bell, rings)
		for i := range bells {
			bells[i] = tasks.Bell{Kind: tasks.RefundApply, ID: uuid.New()}
		}
		for chunk := range 10 {
			if err := bell.Ring(b.Context(), bells[chunk*rings/10:(chunk+1)*rings/10], 1, false); err != nil {
				b.Fatal(err)
			}
		}
		var ran atomic.Int64
		drained := make(chan struct{})
		commit := &tick{next: make(chan struct{})}
		handler := asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			if grouped {
				commit.wait()
			}
			if ran.Add(1) == rings {
				close(drained)
			}
			return nil
		})
		processBefore, serverBefore, begun := processCPU(b), redisCPU(b, client), clock.System.Now()
		b.StartTimer()
		var running []*asynq.Server
		for range servers {
			s := asynq.NewServerFromRedisClient(hardened, asynq.Config{Concurrency: concurrency, Queues: map[string]int{"refunds": 1},
				TaskCheckInterval: 10 * time.Millisecond, LogLevel: asynq.ErrorLevel})
			if err := s.Start(handler); err != nil {
				b.Fatal(err)
			}
			running = append(running, s)
		}
		<-drained
		took += clock.System.Now().Sub(begun)
		process += processCPU(b) - processBefore
		server += redisCPU(b, client) - serverBefore
		for _, s := range running {
			s.Shutdown()
		}
	}
	n := float64(b.N * rings)
	b.ReportMetric(n/took.Seconds(), "tasks/s")
	b.ReportMetric(float64(process.Microseconds())/n, "go-us/task")
	b.ReportMetric(float64(server.Microseconds())/n, "redis-us/task")
}

func processCPU(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func redisCPU(b *testing.B, client *redis.Client) time.Duration {
	info := client.InfoMap(b.Context(), "cpu").Val()["CPU"]
	var user, sys float64
	if _, err := fmt.Sscan(info["used_cpu_user"]+" "+info["used_cpu_sys"], &user, &sys); err != nil {
		b.Fatal(err)
	}
	return time.Duration((user + sys) * float64(time.Second))
}

// tick stands in for a group commit: handlers that arrive within 5 ms of the first go on together.
type tick struct {
	mu   sync.Mutex
	n    int
	next chan struct{}
}

func (t *tick) wait() {
	t.mu.Lock()
	next := t.next
	if t.n++; t.n == 1 {
		time.AfterFunc(5*time.Millisecond, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.n, t.next = 0, make(chan struct{})
			close(next)
		})
	}
	t.mu.Unlock()
	<-next
}
