package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// producers is how many callers wait for an acceptance at any moment.
const producers = 64

// producerName is the producer of the bench's requests.
const producerName = "bench"

// acceptRefunds measures the Go client: producers enqueue one request a call and wait for its commit; the client rings Redis as it
// does in production. No worker runs.
func measureAccept(ctx context.Context, e *environment, o *orders, n int) (int, time.Duration, error) {
	client, err := tasks.NewClient(ctx, e.pool, e.doorbell, tasks.ClientConfig{Producer: producerName, RingAfter: time.Hour})
	if err != nil {
		return 0, 0, err
	}
	payloads := o.refunds(n)
	took, err := timed(func() error {
		return inParallel(producers, len(payloads), func(i int) error {
			receipt, err := client.Enqueue(ctx, payloads[i])
			if err == nil && receipt.Status != tasks.Accepted {
				err = fmt.Errorf("%s is %s, want accepted", receipt.Key, receipt.Status)
			}
			return err
		})
	})
	client.Close()
	return len(payloads), took, err
}

// rawAcceptors is how many connections raw_batch inserts over: each carries half of the producers' requests, so that as many are
// under way at once as the client has.
const rawAcceptors = 2

// measureRawAccept inserts the same rows with the same statement, encoded beforehand, in batches of as many as the producers have
// under way.
func measureRawAccept(ctx context.Context, e *environment, o *orders, n int) (int, time.Duration, error) {
	var batches [][]any
	size := producers / rawAcceptors
	payloads := o.refunds(n)
	for from := 0; from < len(payloads); from += size {
		var requests []tasks.Request
		for _, payload := range payloads[from:min(from+size, len(payloads))] {
			request, err := tasks.NewRequest(payload, e.books, occurred)
			if err != nil {
				return 0, 0, err
			}
			request.Producer = producerName
			requests = append(requests, request)
		}
		tasks.SortRequests(requests)
		batches = append(batches, tasks.AcceptArgs(requests, time.Hour))
	}
	took, err := timed(func() error {
		return inParallel(rawAcceptors, len(batches), func(i int) error {
			_, err := e.pool.Exec(ctx, tasks.AcceptSQL, batches[i]...)
			return err
		})
	})
	return len(payloads), took, err
}

// timed measures one call.
func timed(work func() error) (time.Duration, error) {
	begun := benchClock.Now()
	err := work()
	return benchClock.Now().Sub(begun), err
}

// inParallel calls work for 0 to n-1 from some goroutines and returns their errors.
func inParallel(goroutines, n int, work func(i int) error) error {
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
				if errs[g] = work(i); errs[g] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
