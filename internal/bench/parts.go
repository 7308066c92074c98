package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// rawBatchSize is the batch of raw_batch and the ring of refund-bulk.
const rawBatchSize = tasks.RingIDsMax

// bulkRefunds is how many refunds a round of refund-bulk applies: a second's work and more. In a third of it, the start of a worker and
// the last batch, beside which the other lanes idle, were a tenth of what was measured.
const bulkRefunds = 60_000

// refunds measures the rows that refund orders of one hot merchant.
func (r *run) refunds(ctx context.Context) error {
	return r.inEnvironment(ctx, func(e *environment) error {
		r.say("preparing %d paid orders", r.size(bulkRefunds))
		o, err := prepareOrders(ctx, e, r.size(bulkRefunds))
		if err != nil {
			return err
		}
		t, err := prepareTypical(ctx, e, r.size(2000))
		if err != nil {
			return err
		}
		var single *Row
		if r.wants("refund-single") || r.wants("latency") {
			if single, err = r.refundSingle(ctx, e, o, t); err != nil {
				return err
			}
		}
		if r.wants("refund-bulk") {
			if err := r.refundBulk(ctx, e, o); err != nil {
				return err
			}
		}
		if r.wants("accept") || r.wants("http-accept") || r.wants("http-bulk") {
			if err := r.acceptances(ctx, e, o); err != nil {
				return err
			}
		}
		if r.wants("latency") {
			return r.latency(ctx, e, o, single)
		}
		return nil
	})
}

func (r *run) refundSingle(ctx context.Context, e *environment, o *orders, t *typical) (*Row, error) {
	n := r.size(10000)
	empty := &Row{Name: "empty", Work: "asynq with an empty handler: dequeue and done, no database"}
	hand := &Row{Name: "typical", Work: "a task, a transaction: idempotency row, order and both accounts locked, two entries, balances"}
	single := &Row{Name: "refund-single", Target: ">= 10x typical, 0.5 empty",
		Work: "a task a refund: request read, order and balances decided, outcome, transfer, leg and balances written"}
	for round := range r.Rounds {
		r.say("round %d", round+1)
		if err := r.round(empty, func() (sample, error) {
			return drainTasks(ctx, e, n, func(context.Context, int) error { return nil })
		}); err != nil {
			return nil, err
		}
		if err := r.round(hand, func() (sample, error) { return t.measure(ctx, r.size(2000)) }); err != nil {
			return nil, err
		}
		if err := r.drainRound(ctx, e, o, single, n, 1); err != nil {
			return nil, err
		}
	}
	single.against("empty", empty)
	single.against("typical", hand)
	single.judge(single.VS["typical"] >= 10 && single.VS["empty"] >= 0.5)
	r.add(empty, hand, single)
	return single, nil
}

// drainRound accepts refunds outside the measured time and measures their way through the queue.
func (r *run) drainRound(ctx context.Context, e *environment, o *orders, row *Row, n, ringSize int) error {
	bells, err := o.acceptRefunds(ctx, e, n)
	if err != nil {
		return err
	}
	return r.round(row, func() (sample, error) {
		s, batch, err := drain(ctx, e, bells, ringSize)
		row.Note = fmt.Sprintf("%.0f requests in a batch", batch)
		return s, err
	})
}

func (r *run) refundBulk(ctx context.Context, e *environment, o *orders) error {
	raw := &Row{Name: "raw_batch", Work: fmt.Sprintf("PostgreSQL alone: the same rows in batches of %d, decided beforehand, a connection a book", rawBatchSize)}
	bulk := &Row{Name: "refund-bulk", Target: ">= 0.6 raw_batch", Work: fmt.Sprintf("refund-single's work in tasks of %d ids", rawBatchSize)}
	for round := range r.Rounds {
		r.say("round %d", round+1)
		bells, err := o.acceptRefunds(ctx, e, r.size(bulkRefunds))
		if err != nil {
			return err
		}
		write, err := rawRefunds(ctx, e, bells, rawBatchSize)
		if err != nil {
			return err
		}
		if err := r.round(raw, func() (sample, error) { return e.measured(ctx, len(bells), write) }); err != nil {
			return err
		}
		if err := r.drainRound(ctx, e, o, bulk, r.size(bulkRefunds), rawBatchSize); err != nil {
			return err
		}
	}
	bulk.against("raw_batch", raw)
	bulk.judge(bulk.VS["raw_batch"] >= 0.6)
	r.add(raw, bulk)
	return nil
}

func (r *run) latency(ctx context.Context, e *environment, o *orders, single *Row) error {
	rate := int(single.PerSecond / 2)
	r.say("latency at %d per second", rate)
	row := &Row{Name: "latency", Target: "p99 < 50 ms or 3 bare commits' p99, p50 < 15 ms",
		Work: fmt.Sprintf("accepted to applied at %d arrivals per second, half of refund-single's rate, whatever is done", rate)}
	var p50, p99, commits, batches []float64
	for round := range r.Rounds {
		r.say("round %d", round+1)
		if err := e.settleTables(ctx); err != nil {
			return err
		}
		err := r.round(row, func() (sample, error) {
			l, err := measureLatency(ctx, e, o, rate)
			p50, p99 = append(p50, milliseconds(l.p50)), append(p99, milliseconds(l.p99))
			commits, batches = append(commits, milliseconds(l.bareCommitP99)), append(batches, l.batch)
			return l.sample, err
		})
		if err != nil {
			return err
		}
	}
	row.Note = fmt.Sprintf("p50 %.1f ms (%.1f-%.1f), p99 %.1f ms (%.1f-%.1f), %.0f requests in a batch; a bare commit's p99 is %.1f ms",
		median(p50), slices.Min(p50), slices.Max(p50), median(p99), slices.Min(p99), slices.Max(p99), median(batches), median(commits))
	row.judge(median(p50) < 15 && median(p99) < max(50, 3*median(commits)))
	r.add(row)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sweep measures nights over many users, of whom some are enrolled.
func (r *run) sweep(ctx context.Context) error {
	return r.inEnvironment(ctx, func(e *environment) error {
		users, perMille := r.size(1_000_000), 300
		r.say("seeding %d users, %d in a thousand enrolled", users, perMille)
		u, err := seedSweepUsers(ctx, e, users, perMille)
		if err != nil {
			return err
		}
		set := &Row{Name: "set_sql", Work: "one statement per chunk of 2000 users that decides and writes inside PostgreSQL, a connection a book"}
		row := &Row{Name: "sweep", Target: ">= 0.6 set_sql, flat memory",
			Work: fmt.Sprintf("a night over %d users, %d of them enrolled and above what they keep: sweep:run through asynq", users, u.enrolled)}
		for round := range r.Rounds {
			r.say("round %d", round+1)
			for _, m := range []struct {
				row     *Row
				measure func() (sample, error)
			}{
				{set, func() (sample, error) { return u.measureSetSweep(ctx, 2000) }},
				{row, func() (sample, error) { return u.measureSweep(ctx, row) }},
			} {
				if err := u.lowerKeep(ctx); err != nil {
					return err
				}
				if err := r.round(m.row, m.measure); err != nil {
					return err
				}
			}
		}
		row.against("set_sql", set)
		row.judge(row.VS["set_sql"] >= 0.6)
		r.add(set, row)
		return nil
	})
}

// measureSweep runs a night through client, queue and worker, and notes the worker's memory on its way.
func (u *sweepUsers) measureSweep(ctx context.Context, row *Row) (sample, error) {
	e, date := u.env, u.night()
	if err := e.redis.FlushDB(ctx).Err(); err != nil {
		return sample{}, fmt.Errorf("empty redis: %w", err)
	}
	s, err := startSystem(ctx, e, tasks.Sweeps)
	if err != nil {
		return sample{}, err
	}
	var memory func() (early, late float64)
	measured, err := e.measured(ctx, 0, func() error {
		memory = watchMemory()
		if _, err := s.client.Enqueue(ctx, &tasks.Sweep{ProductID: sweepProduct, BusinessDate: date}); err != nil {
			return err
		}
		return e.drained(ctx)
	})
	early, late := memory()
	row.Note = fmt.Sprintf("heap in use: at most %.0f MB in the night's first half, %.0f MB in its second", early, late)
	if stopErr := s.stop(ctx); err == nil {
		err = stopErr
	}
	if err != nil {
		return sample{}, err
	}
	measured.items, err = u.sweptOn(ctx, date)
	return measured, err
}

// watchMemory samples the heap until the returned function is called, which gives the most that was in use in each half, in MB.
func watchMemory() func() (early, late float64) {
	var stop atomic.Bool
	samples := make(chan []float64)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		var seen []float64
		for !stop.Load() {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			seen = append(seen, float64(stats.HeapInuse)/(1<<20))
			<-ticker.C
		}
		samples <- seen
	}()
	return func() (early, late float64) {
		stop.Store(true)
		seen := <-samples
		for i, mb := range seen {
			if i < len(seen)/2 {
				early = max(early, mb)
			} else {
				late = max(late, mb)
			}
		}
		return early, late
	}
}

// history compares refund-bulk on a young database with the same on one that has ten times the history.
func (r *run) history(ctx context.Context) error {
	return r.inEnvironment(ctx, func(young *environment) error {
		return r.inEnvironment(ctx, func(old *environment) error {
			n := r.size(20000)
			r.say("preparing a young and an old database")
			youngOrders, err := prepareOrders(ctx, young, n)
			if err != nil {
				return err
			}
			oldOrders, err := prepareOrders(ctx, old, n)
			if err != nil {
				return err
			}
			if err := addHistory(ctx, old, 10); err != nil {
				return err
			}
			fresh := &Row{Name: "fresh", Work: fmt.Sprintf("refund-bulk with %d requests in the tables", 2*n)}
			row := &Row{Name: "history", Target: ">= 1/1.3 fresh", Work: fmt.Sprintf("refund-bulk with %d requests in the tables", 22*n)}
			for round := range r.Rounds {
				r.say("round %d", round+1)
				if err := r.drainRound(ctx, young, youngOrders, fresh, n, rawBatchSize); err != nil {
					return err
				}
				if err := r.drainRound(ctx, old, oldOrders, row, n, rawBatchSize); err != nil {
					return err
				}
			}
			row.against("fresh", fresh)
			row.judge(row.VS["fresh"] >= 1/1.3)
			r.add(fresh, row)
			return nil
		})
	})
}
