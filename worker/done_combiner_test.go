package worker

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/devstack/redistest"
)

// doneKeys have the shape of a done script's keys.
func doneKeys() []string { return doneKeysOf("1") }

func doneKeysOf(id string) []string {
	return []string{"asynq:{q}:active", "asynq:{q}:lease", "asynq:{q}:t:" + id, "asynq:{q}:processed:2026-01-01", "asynq:{q}:processed"}
}

// activate makes n tasks active, with ids from "0", as asynq's dequeue does.
func activate(t *testing.T, client *redis.Client, n int) {
	t.Helper()
	if _, err := client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range n {
			id := strconv.Itoa(i)
			pipe.LPush(t.Context(), "asynq:{q}:active", id)
			pipe.ZAdd(t.Context(), "asynq:{q}:lease", redis.Z{Score: 1, Member: id})
			pipe.HSet(t.Context(), "asynq:{q}:t:"+id, "state", "active")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestEachFinishedTaskGetsItsOwnReply(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	m := newMetrics(nil)
	combiner := newDoneCombiner(client, m)
	const tasks = 500
	activate(t, client, tasks)
	missing := map[string]func(id string) error{
		"13": func(id string) error { return client.LRem(t.Context(), "asynq:{q}:active", 0, id).Err() },
		"14": func(id string) error { return client.ZRem(t.Context(), "asynq:{q}:lease", id).Err() },
		"15": func(id string) error { return client.Del(t.Context(), "asynq:{q}:t:"+id).Err() },
	}
	for id, remove := range missing {
		if err := remove(id); err != nil {
			t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	start := make(chan struct{})
	for i := range tasks {
		running.Go(func() {
			<-start
			id := strconv.Itoa(i)
			reply, err := combiner.EvalSha(t.Context(), "asynq's", doneKeysOf(id), id, int64(4102444800), int64(math.MaxInt64)).Text()
			switch {
			case missing[id] != nil:
				if causeOf(err) != causeMissing {
					t.Errorf("the end of task %s, which is missing, answered %q, %v", id, reply, err)
				}
			case err != nil || reply != "OK":
				t.Errorf("the end of task %s answered %q, %v", id, reply, err)
			}
		})
	}
	close(start)
	running.Wait()
	scripts, ended := histogram(t, m.doneCombined)
	if ended != tasks {
		t.Errorf("%v tasks were sent, want %d", ended, tasks)
	}
	if scripts >= tasks {
		t.Errorf("%d tasks that finished at once took %d scripts", tasks, scripts)
	}
	for _, counter := range []string{"asynq:{q}:processed:2026-01-01", "asynq:{q}:processed"} {
		if got := client.Get(t.Context(), counter).Val(); got != strconv.Itoa(tasks-len(missing)) {
			t.Errorf("%s is %s, want %d", counter, got, tasks-len(missing))
		}
	}
	if left := len(combiner.waiting); left != 0 {
		t.Errorf("%d queues are under way when all is done", left)
	}
}

func TestCallersAreToldWhenTheScriptFails(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	client := openRedis(t, server)
	combiner := newDoneCombiner(client, newMetrics(nil))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var failed atomic.Int64
	for i := range 50 {
		running.Go(func() {
			id := strconv.Itoa(i)
			if combiner.EvalSha(t.Context(), "asynq's", doneKeysOf(id), id, int64(4102444800), int64(math.MaxInt64)).Err() != nil {
				failed.Add(1)
			}
		})
	}
	running.Wait()
	if got := failed.Load(); got != 50 {
		t.Errorf("%d of 50 callers were told", got)
	}
}

// TestCombinedEndsLeaveRedisAsAsynqDoes compares what is left of 300 tasks: the script is ours, its effect is asynq's.
func TestCombinedEndsLeaveRedisAsAsynqDoes(t *testing.T) {
	t.Parallel()
	left := map[bool]map[string]string{}
	for _, combined := range []bool{false, true} {
		client := openRedis(t, redistest.New(t))
		m := newMetrics(nil)
		var inner redis.UniversalClient = client
		if combined {
			inner = newDoneCombiner(client, m)
		}
		var runs atomic.Int64
		server := startAsynq(t, &hardenedRedis{UniversalClient: inner, metrics: m}, &runs)
		ringFor(t, client, 300)
		eventually(t, "all tasks are processed", func() bool { return client.Get(t.Context(), "asynq:{refunds}:processed").Val() == "300" })
		server.Shutdown()
		left[combined] = map[string]string{}
		for _, key := range client.Keys(t.Context(), "asynq:*").Val() {
			what, ofDay := client.Type(t.Context(), key).Val(), strings.Contains(key, ":processed:")
			if ofDay || strings.HasSuffix(key, ":processed") {
				what = fmt.Sprintf("%s, expires: %t", client.Get(t.Context(), key).Val(), client.TTL(t.Context(), key).Val() > 24*time.Hour)
			}
			if ofDay {
				key = "asynq:{refunds}:processed of the day"
			}
			left[combined][key] = what
		}
		if _, ended := histogram(t, m.doneCombined); combined && ended != 300 {
			t.Errorf("%v tasks went through our script, want 300", ended)
		}
	}
	if !maps.Equal(left[true], left[false]) {
		t.Errorf("combined ends leave %v, asynq's own leave %v", left[true], left[false])
	}
}

func TestTasksEndEvenWhenRedisForgetsScripts(t *testing.T) {
	t.Parallel()
	client := openRedis(t, redistest.New(t))
	m := newMetrics(nil)
	var runs atomic.Int64
	startAsynq(t, &hardenedRedis{UniversalClient: newDoneCombiner(client, m), metrics: m}, &runs)
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
