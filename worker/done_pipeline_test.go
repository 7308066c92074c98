package worker

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/settled-dev/settled/internal/devstack/redistest"
)

// doneKeys have the shape of a done script's keys.
func doneKeys() []string {
	return []string{"asynq:{q}:active", "asynq:{q}:lease", "asynq:{q}:t:1", "asynq:{q}:processed:2026-01-01", "asynq:{q}:processed"}
}

func TestEachFinishedTaskGetsItsOwnReply(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	m := newMetrics(nil)
	pipeline := &donePipeline{UniversalClient: client, metrics: m}
	sha := client.ScriptLoad(t.Context(), `if ARGV[1] == "13" then return redis.error_reply("NOT FOUND") end return ARGV[1]`).Val()
	const calls = 500
	var running sync.WaitGroup
	start := make(chan struct{})
	for i := range calls {
		running.Go(func() {
			<-start
			reply, err := pipeline.EvalSha(t.Context(), sha, doneKeys(), strconv.Itoa(i)).Text()
			if i == 13 {
				if err == nil || err.Error() != "NOT FOUND" {
					t.Errorf("call 13 got %q, %v; want its own error", reply, err)
				}
			} else if err != nil || reply != strconv.Itoa(i) {
				t.Errorf("call %d got %q, %v", i, reply, err)
			}
		})
	}
	close(start)
	running.Wait()
	pipelines, reported := histogram(t, m.donePipelined)
	if reported != calls {
		t.Errorf("%v calls were sent, want %d", reported, calls)
	}
	if pipelines >= calls {
		t.Errorf("%d calls at once took %d pipelines", calls, pipelines)
	}
}

func TestCallersAreToldWhenThePipelineBreaks(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	client := openRedis(t, server)
	pipeline := &donePipeline{UniversalClient: client, metrics: newMetrics(nil)}
	sha := client.ScriptLoad(t.Context(), "return 1").Val()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var failed atomic.Int64
	for range 50 {
		running.Go(func() {
			if pipeline.EvalSha(t.Context(), sha, doneKeys()).Err() != nil {
				failed.Add(1)
			}
		})
	}
	running.Wait()
	if got := failed.Load(); got != 50 {
		t.Errorf("%d of 50 callers were told", got)
	}
}

func TestPipelinedTasksAreDoneEvenWhenRedisForgetsScripts(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	m := newMetrics(nil)
	var runs atomic.Int64
	startAsynq(t, &hardenedRedis{UniversalClient: &donePipeline{UniversalClient: client, metrics: m}, metrics: m}, &runs)
	for round := range 2 {
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		ringFor(t, client, 300)
		eventually(t, "all tasks ran and are gone", func() bool {
			return runs.Load() == int64(300*(round+1)) && len(client.Keys(t.Context(), "asynq:{refunds}:t:*").Val()) == 0
		})
	}
	if left := client.LLen(t.Context(), "asynq:{refunds}:active").Val(); left != 0 {
		t.Errorf("%d tasks are left active", left)
	}
}

func histogram(t *testing.T, h prometheus.Histogram) (count uint64, sum float64) {
	t.Helper()
	var read dto.Metric
	if err := h.Write(&read); err != nil {
		t.Fatal(err)
	}
	return read.GetHistogram().GetSampleCount(), read.GetHistogram().GetSampleSum()
}
