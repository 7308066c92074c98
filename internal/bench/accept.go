package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/tasks"
)

// producers is how many callers wait for an acceptance at any moment.
const producers = 64

// acceptedRefunds is how many refunds a round accepts one by one: a second's work and more, even for PostgreSQL alone. A third of it was
// over in 0.4 s, and a machine's momentary speed decided the comparison.
const acceptedRefunds = bulkRefunds

// producerName is the producer of the bench's requests.
const producerName = "bench"

// acceptances measures the ways in which refunds are accepted, in turn with what PostgreSQL alone can do.
func (r *run) acceptances(ctx context.Context, e *environment, o *orders) error {
	n := r.size(acceptedRefunds)
	var waited httpLatencies
	raw := &acceptance{row: &Row{Name: "raw_accept",
		Work: fmt.Sprintf("PostgreSQL alone: the same rows, %d at a time over %d connections", producers, rawAcceptors)},
		measure: func() (s sample, err error) {
			s, waited.commit, err = measureRawAccept(ctx, e, o, n)
			return s, err
		}}
	ways := []*acceptance{raw}
	for _, way := range acceptancesOf(ctx, e, o, n, &waited) {
		if r.wants(way.row.Name) {
			ways = append(ways, way)
		}
	}
	for round := range r.Rounds {
		r.say("round %d", round+1)
		for _, way := range ways {
			if err := r.acceptRound(ctx, e, way); err != nil {
				return err
			}
		}
	}
	r.add(raw.row)
	for _, way := range ways[1:] {
		way.row.against(raw.row.Name, raw.row)
		also := way.also == nil || way.also()
		way.row.judge(also && way.row.VS[raw.row.Name] >= way.least)
		r.add(way.row)
	}
	return nil
}

// acceptance is a way in which refunds are accepted.
type acceptance struct {
	row     *Row
	before  func() error // each round, outside of what is measured; nil for nothing
	measure func() (sample, error)
	least   float64     // of raw_accept's rate
	also    func() bool // what else must hold; nil for nothing
}

// httpCommitsMax is how many of raw_accept's commits the slowest of a hundred calls may take.
const httpCommitsMax = 25

func acceptancesOf(ctx context.Context, e *environment, o *orders, n int, waited *httpLatencies) []*acceptance {
	client := &Row{Name: "accept", Target: ">= 0.5 raw_accept",
		Work: fmt.Sprintf("Go client, %d producers, one request a call: validated, committed, acknowledged, rung", producers)}
	door := &Row{Name: "http-accept", Target: fmt.Sprintf(">= 0.4 raw_accept, p99 < %d commits", httpCommitsMax),
		Work: fmt.Sprintf("HTTP API, %d keep-alive connections, one refund a call, each answered 202 after its commit; with its load", producers)}
	bulk := &Row{Name: "http-bulk", Target: ">= 0.6 raw_accept",
		Work: fmt.Sprintf("HTTP API, one call with a list of %d refunds, answered after the last commit", min(n, intake.ListMax))}
	return []*acceptance{
		{row: client, least: 0.5, measure: func() (sample, error) { return measureAccept(ctx, e, o, n) }},
		{row: door, least: 0.4, before: func() error { return waited.before(ctx, e) }, measure: func() (sample, error) { return measureHTTPAccept(ctx, e, o, n, waited) },
			also: func() bool {
				door.Note = waited.String()
				return median(waited.commits) < httpCommitsMax
			}},
		{row: bulk, least: 0.6, measure: func() (sample, error) { return measureHTTPBulk(ctx, e, o, n) }},
	}
}

// acceptRound measures one round, and applies outside of it what it left pending.
func (r *run) acceptRound(ctx context.Context, e *environment, way *acceptance) error {
	if way.before != nil {
		if err := way.before(); err != nil {
			return err
		}
	}
	if err := r.round(way.row, way.measure); err != nil {
		return err
	}
	if err := settlePending(ctx, e); err != nil {
		return err
	}
	return e.settleTables(ctx)
}

// measureAccept measures the Go client: producers enqueue one request a call and wait for its commit; the client rings Redis as it
// does in production. No worker runs.
func measureAccept(ctx context.Context, e *environment, o *orders, n int) (sample, error) {
	client, err := tasks.NewClient(ctx, e.pool, e.doorbell, tasks.ClientConfig{Producer: producerName, RingAfter: time.Hour})
	if err != nil {
		return sample{}, err
	}
	payloads := o.refunds(n)
	s, err := e.measured(ctx, len(payloads), func() error {
		return inParallel(producers, len(payloads), func(_, i int) error {
			receipt, err := client.Enqueue(ctx, payloads[i])
			if err == nil && receipt.Status != tasks.Accepted {
				err = fmt.Errorf("%s is %s, want accepted", receipt.Key, receipt.Status)
			}
			return err
		})
	})
	client.Close()
	return s, err
}

// rawAcceptors is how many connections raw_batch inserts over: each carries half of the producers' requests, so that as many are
// under way at once as the client has.
const rawAcceptors = 2

// measureRawAccept inserts the same rows with the same statement, encoded beforehand, in batches of as many as the producers have
// under way. It also returns the median of what a batch took with its commit.
func measureRawAccept(ctx context.Context, e *environment, o *orders, n int) (sample, time.Duration, error) {
	var batches [][]any
	size := producers / rawAcceptors
	payloads := o.refunds(n)
	for from := 0; from < len(payloads); from += size {
		var requests []tasks.Request
		for _, payload := range payloads[from:min(from+size, len(payloads))] {
			request, err := tasks.NewRequest(payload, e.books, occurred)
			if err != nil {
				return sample{}, 0, err
			}
			request.Producer = producerName
			requests = append(requests, request)
		}
		tasks.SortRequests(requests)
		batches = append(batches, tasks.AcceptArgs(requests, time.Hour))
	}
	each := make([]time.Duration, len(batches))
	s, err := e.measured(ctx, len(payloads), func() error {
		return inParallel(rawAcceptors, len(batches), func(_, i int) (err error) {
			each[i], err = timed(func() error {
				_, err := e.pool.Exec(ctx, tasks.AcceptSQL, batches[i]...)
				return err
			})
			return err
		})
	})
	slices.Sort(each)
	return s, each[len(each)/2], err
}

// timed measures one call.
func timed(work func() error) (time.Duration, error) {
	begun := benchClock.Now()
	err := work()
	return benchClock.Now().Sub(begun), err
}

// inParallel calls work for 0 to n-1 from some goroutines, each of which says which it is, and returns their errors.
func inParallel(goroutines, n int, work func(goroutine, i int) error) error {
	var next atomic.Int64
	errs := make([]error, goroutines)
	var running sync.WaitGroup
	for g := range goroutines {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[g] = work(g, i); errs[g] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
