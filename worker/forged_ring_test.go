package worker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// onePayloadOfEachKind reads what earlier versions have stored: first the refund:send, of which the answers speak.
func onePayloadOfEachKind(t *testing.T) []tasks.Payload {
	t.Helper()
	var payloads []tasks.Payload
	for _, kind := range tasks.Kinds() {
		files, err := filepath.Glob(filepath.Join("..", "tasks", "testdata", "wire", strings.Replace(string(kind), ":", "-", 1)+"*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no stored payload: %v", kind, err)
		}
		raw, err := os.ReadFile(files[len(files)-1])
		if err != nil {
			t.Fatal(err)
		}
		payload, err := tasks.ParsePayload(kind, raw)
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, payload)
	}
	sent := slices.IndexFunc(payloads, func(p tasks.Payload) bool { return p.Kind() == tasks.RefundSend })
	for _, payload := range payloads {
		if revision, ok := payload.(*tasks.RefundRevision); ok {
			revision.Number = payloads[sent].(*tasks.RefundOrder).Number
		}
	}
	payloads[0], payloads[sent] = payloads[sent], payloads[0]
	return payloads
}

// Rings lie in Redis, where anybody may have put them: one that names requests of another kind does nothing to them, whichever queue it
// comes by, however often the requests were started, and whether or not it says that it is rung again.
func TestForgedRingMovesNothingAndIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const startsBefore = 30 // more than any request may have
	named := map[tasks.Kind]tasks.Receipt{}
	for _, payload := range onePayloadOfEachKind(t) {
		if payload.Kind() == tasks.TransferReceive {
			continue // the audit would miss the money that is on its way
		}
		named[payload.Kind()] = s.acceptUnrung(t, payload)
	}
	if _, err := s.db.Owner.Exec(t.Context(), "UPDATE pending SET attempts = $1", startsBefore); err != nil {
		t.Fatal(err)
	}
	forger := asynq.NewClientFromRedisClient(s.redis)
	forged := 0
	for kind, receipt := range named {
		for _, other := range tasks.Kinds() {
			for _, again := range []bool{false, true} {
				if other == kind {
					continue
				}
				forged++
				ring := tasks.Ring{Kind: other, Book: receipt.Book, IDs: []uuid.UUID{receipt.ID}, Again: again}
				task, err := ring.Task()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := forger.EnqueueContext(t.Context(), task); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s.startWorker(t, func(c *Config) { c.RelayInterval = -1 })
	eventually(t, "every forged ring was delivered", func() bool {
		waiting := int64(0)
		for _, queue := range tasks.Queues() {
			for _, list := range []string{"pending", "active"} {
				waiting += s.redis.LLen(t.Context(), fmt.Sprintf("asynq:{%s}:%s", queue, list)).Val()
			}
		}
		return waiting == 0
	})
	if got := s.count(t, "SELECT count(*) FROM strays"); got != forged {
		t.Errorf("%d of %d forged rings are recorded", got, forged)
	}
	if left := s.redis.Keys(t.Context(), "asynq:{*}:t:*").Val(); len(left) != 0 {
		t.Errorf("%d forged rings are to be tried again", len(left))
	}
	if got := s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted' AND attempts = $1 AND last_error IS NULL", startsBefore); got != len(named) {
		t.Errorf("%d of %d requests stand as they did", got, len(named))
	}
	if moved := s.count(t, "SELECT count(*) FROM transfers") + s.count(t, "SELECT count(*) FROM outcomes"); moved != 0 {
		t.Errorf("forged rings have left %d transfers and outcomes", moved)
	}
	if calls := s.channel.Calls(named[tasks.RefundSend].Key); calls.Refunds+calls.Queries != 0 {
		t.Errorf("a channel was called: %+v", calls)
	}
}

func TestRefundThatARingNamesTwiceIsAskedForOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}
	w := s.newWorker(t, withChannel(scripted))
	ring := ringOf(s.accept(t, refundOrders(2)...))
	ring.IDs = append(ring.IDs, ring.IDs...)
	if got := deliver(t, w, ring); got != classDone {
		t.Errorf("the ring is %s, want done", got)
	}
	if got := len(scripted.calls); got != 2 || s.outcomesOf(t, tasks.RefundSend) != 2 {
		t.Errorf("the channel heard %v, want each of two refunds once", scripted.calls)
	}
}
