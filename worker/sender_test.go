package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// acceptChannelRefunds has n orders paid by WeChat alone and refunded in full: each refund becomes a refund:send.
func (s *stack) acceptChannelRefunds(t *testing.T, n int) {
	t.Helper()
	var payloads []tasks.Payload
	for i := range n {
		user, order := fmt.Sprintf("u%d", i%7), fmt.Sprintf("o%d", i)
		payloads = append(payloads,
			&tasks.Payment{OrderID: order, UserID: user, MerchantID: "m1", OccurredAt: noon,
				Legs: []tasks.Leg{{Source: tasks.SourceWeChat, Amount: fen(500), ChannelTxnID: "txn-" + order}}},
			&tasks.Refund{RefundID: "f" + order, OrderID: order, UserID: user, Amount: fen(500), OccurredAt: noon})
	}
	s.accept(t, payloads...)
}

func (s *stack) outcomesOf(t *testing.T, kind tasks.Kind) int {
	t.Helper()
	return s.count(t, `SELECT count(*) FROM outcomes o JOIN requests r ON r.book = o.book AND r.id = o.request_id
		WHERE r.kind = $1 AND o.result = 'applied'`, kind)
}

func TestRefundsToChannelsEndWhateverTheChannelAnswersFirst(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(s *stackSettings) {
		s.channel = channel.SimulatorConfig{UnknownPerMille: 500, FailedPerMille: 100}
	})
	s.startWorker(t, nil)
	const refunds = 60
	s.acceptChannelRefunds(t, refunds)
	eventually(t, "every refund has ended", func() bool { return s.pending(t) == 0 })
	for _, kind := range []tasks.Kind{tasks.RefundApply, tasks.RefundSend, tasks.RefundAnswer} {
		if got := s.outcomesOf(t, kind); got != refunds {
			t.Errorf("%d %s were applied, want %d", got, kind, refunds)
		}
	}
	var numbers []string
	rows, err := s.pool.Query(t.Context(), "SELECT key FROM requests WHERE kind = 'refund:send'")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var number string
		if err := rows.Scan(&number); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, number)
	}
	for _, number := range numbers {
		if calls := s.channel.Calls(number); calls.Refunds != 1 {
			t.Errorf("number %s was sent %d times and asked about %d times", number, calls.Refunds, calls.Queries)
		}
	}
}

// scriptedChannel answers as its function says, and remembers what it was asked.
type scriptedChannel struct {
	refund func(ctx context.Context, number string) (channel.RefundAnswer, error)
	query  func(number string) (channel.RefundAnswer, error) // nil: succeeded

	mu    sync.Mutex
	calls []string
}

func (c *scriptedChannel) note(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

func (c *scriptedChannel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	c.note("refund")
	return c.refund(ctx, order.Number)
}

func (c *scriptedChannel) Query(_ context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	c.note("query")
	if c.query != nil {
		return c.query(order.Number)
	}
	return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
}

func withChannel(refunder channel.Refunder) func(*Config) {
	return func(c *Config) {
		c.Refunders = map[tasks.Source]channel.Refunder{tasks.SourceWeChat: refunder}
		c.ChannelTimeout = 50 * time.Millisecond
	}
}

func TestChannelIsAskedBeforeARefundIsRepeated(t *testing.T) {
	t.Parallel()
	succeeded := channel.RefundAnswer{State: channel.RefundSucceeded}
	for name, refund := range map[string]func(context.Context, string) (channel.RefundAnswer, error){
		"no reply": func(context.Context, string) (channel.RefundAnswer, error) { return succeeded, errors.New("reset") },
		"no reply in time": func(ctx context.Context, _ string) (channel.RefundAnswer, error) {
			<-ctx.Done()
			return succeeded, ctx.Err()
		},
		"processing": func(context.Context, string) (channel.RefundAnswer, error) {
			return channel.RefundAnswer{State: channel.RefundProcessing}, nil
		},
		"an unknown state": func(context.Context, string) (channel.RefundAnswer, error) {
			return channel.RefundAnswer{State: "?"}, nil
		},
		"a panic": func(context.Context, string) (channel.RefundAnswer, error) { panic("cannot parse") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			scripted := &scriptedChannel{refund: refund}
			s.startWorker(t, withChannel(scripted))
			s.acceptChannelRefunds(t, 1)
			eventually(t, "the first call has failed", func() bool { return s.pending(t) == 1 && s.outcomesOf(t, tasks.RefundApply) == 1 })
			eventually(t, "it has ended", func() bool {
				if _, err := s.ledger.MakeAllDue(t.Context()); err != nil { // sooner than asynq's retry
					t.Fatal(err)
				}
				return s.pending(t) == 0
			})
			scripted.mu.Lock()
			defer scripted.mu.Unlock()
			refunds := 0
			for _, call := range scripted.calls {
				if call == "refund" {
					refunds++
				}
			}
			if refunds != 1 || s.outcomesOf(t, tasks.RefundAnswer) != 1 {
				t.Errorf("calls were %q, %d answers were applied", scripted.calls, s.outcomesOf(t, tasks.RefundAnswer))
			}
		})
	}
}

// Each start of a refund:send is counted, the one that decides too; a usual request has none.
func TestOutcomeTellsTheStartsThatWereCounted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.newWorker(t, withChannel(&scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}))
	usual := ringOf(s.accept(t, recharge("r1", "u1", 100)))
	sent := ringOf(s.accept(t, &tasks.RefundOrder{Number: "rf0123456789", RefundID: "f1", OrderID: "o1", UserID: "u1",
		Channel: tasks.SourceWeChat, Captured: fen(500), Amount: fen(500), OccurredAt: noon}))
	for want, ring := range []tasks.Ring{usual, sent} {
		answers, err := w.observer.handler.applyRing(t.Context(), &delivery{ring: ring})
		if err != nil || answers[0].Fate != ledger.Decided || answers[0].Outcome.Attempts != want {
			t.Errorf("%s: %+v, %v; want it decided with %d attempts", ring.Kind, answers, err, want)
		}
	}
}

func TestRefundOfAChannelThatIsNotHereWaits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.startWorker(t, func(c *Config) { c.Refunders = nil })
	s.acceptChannelRefunds(t, 2)
	eventually(t, "the refunds are applied", func() bool { return s.outcomesOf(t, tasks.RefundApply) == 2 })
	eventually(t, "their sends are kept", func() bool { return s.redis.ZCard(t.Context(), "asynq:{low}:retry").Val() > 0 })
	if got := s.pending(t); got != 2 {
		t.Errorf("%d requests are pending, want the two sends", got)
	}
	stopWorker(t, w)
	s.startWorker(t, nil)
	if _, err := s.ledger.MakeAllDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a worker with the channel ends them", func() bool { return s.pending(t) == 0 })
}

func TestChannelThatChangesItsAnswerIsReportedAndMovesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.newWorker(t, withChannel(&scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{State: channel.RefundFailed, Reason: "void card"}, nil
	}}))
	order := &tasks.RefundOrder{Number: "rf0123456789", RefundID: "f1", OrderID: "o1", UserID: "u1", Channel: tasks.SourceWeChat,
		Captured: fen(500), Amount: fen(500), OccurredAt: noon}
	send := s.accept(t, order)
	result, _ := channel.Result(*order, channel.RefundAnswer{State: channel.RefundSucceeded})
	s.accept(t, result)
	if _, err := w.observer.handler.sender.send(t.Context(), ringOf(send)); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(w.metrics.channelConflicts.WithLabelValues("wechat")); got != 1 {
		t.Errorf("%v conflicts were counted, want 1", got)
	}
	if got := s.count(t, "SELECT count(*) FROM conflicts"); got != 1 {
		t.Errorf("%d conflicts are recorded, want 1", got)
	}
}

// The channel's notice of a failure came first; asked, it has paid.
func TestChannelThatHasPaidWhatItFailedIsBelievedAndNotReported(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.newWorker(t, withChannel(&scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}))
	order := &tasks.RefundOrder{Number: "rf0123456789", RefundID: "f1", OrderID: "o1", UserID: "u1", Channel: tasks.SourceWeChat,
		Captured: fen(500), Amount: fen(500), OccurredAt: noon}
	send := s.accept(t, order)
	result, _ := channel.Result(*order, channel.RefundAnswer{State: channel.RefundFailed, Reason: "ABNORMAL"})
	s.accept(t, result)
	if _, err := w.observer.handler.sender.send(t.Context(), ringOf(send)); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(w.metrics.channelConflicts.WithLabelValues("wechat")); got != 0 {
		t.Errorf("%v conflicts were counted, want none", got)
	}
	if got := testutil.ToFloat64(w.metrics.channelRevisions.WithLabelValues("wechat")); got != 1 {
		t.Errorf("%v revisions were counted, want 1", got)
	}
	if got := s.count(t, "SELECT count(*) FROM requests WHERE kind = 'refund:revise' AND key = 'rf0123456789'"); got != 1 {
		t.Errorf("%d revisions are stored, want 1", got)
	}
}

// A ring that is delivered again may name a refund that is dead. Requeued while the others' channels are called, it is not theirs: nobody
// has asked its channel.
func TestRefundThatIsRequeuedDuringAnothersCallIsNotTakenForSent(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	orders := make([]tasks.Payload, 2)
	for i := range orders {
		orders[i] = &tasks.RefundOrder{Number: fmt.Sprintf("rf%010d", i), RefundID: "f1", OrderID: "o1", UserID: "u1",
			Channel: tasks.SourceWeChat, Captured: fen(500), Amount: fen(500), OccurredAt: noon}
	}
	scripted := &scriptedChannel{refund: func(ctx context.Context, number string) (channel.RefundAnswer, error) {
		if number == "rf0000000001" {
			if err := s.ledger.Requeue(ctx, tasks.RefundSend, "rf0000000000", "a person"); err != nil {
				t.Error(err)
			}
		}
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}
	w := s.newWorker(t, withChannel(scripted))
	ring := ringOf(s.accept(t, orders...))
	if err := s.ledger.Bury(t.Context(), ring.Book, ring.IDs[0], "nobody knows"); err != nil {
		t.Fatal(err)
	}
	send := w.observer.handler.sender.send
	answers, err := send(t.Context(), ring)
	if err != nil || answers[0].Fate != "" || answers[1].Fate != ledger.Decided {
		t.Errorf("answers are %+v, %v; want none for the requeued one", answers, err)
	}
	if got := s.outcomesOf(t, tasks.RefundSend); got != 1 || len(scripted.calls) != 1 {
		t.Errorf("%d refunds are sent after %v", got, scripted.calls)
	}
	if answers, err = send(t.Context(), ring); err != nil || answers[0].Fate != ledger.Decided || !answers[1].Replay {
		t.Errorf("answers are %+v, %v; want it sent when it is rung for", answers, err)
	}
	if len(scripted.calls) != 2 {
		t.Errorf("the channel heard %v, want of each once", scripted.calls)
	}
}

// A channel may have paid though nobody heard of it. A person who lets the refund run again does not know, and it is not paid for twice.
func TestRefundThatIsRequeuedIsAskedAboutBeforeItIsRepeated(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{}, errors.New("reset after the channel has paid")
	}}
	w := s.newWorker(t, withChannel(scripted))
	ring := ringOf(s.accept(t, &tasks.RefundOrder{Number: "rf0123456789", RefundID: "f1", OrderID: "o1", UserID: "u1",
		Channel: tasks.SourceWeChat, Captured: fen(500), Amount: fen(500), OccurredAt: noon}))
	if _, err := w.observer.handler.sender.send(t.Context(), ring); !errors.Is(err, errUnanswered) {
		t.Fatalf("the first call ended with %v, want no answer", err)
	}
	if err := s.ledger.Bury(t.Context(), ring.Book, ring.IDs[0], "nobody knows"); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Requeue(t.Context(), tasks.RefundSend, "rf0123456789", "a person"); err != nil {
		t.Fatal(err)
	}
	answers, err := w.observer.handler.sender.send(t.Context(), ring)
	if err != nil || answers[0].Fate != ledger.Decided {
		t.Errorf("answers are %+v, %v; want it decided", answers, err)
	}
	if got := strings.Join(scripted.calls, " "); got != "refund query" {
		t.Errorf("the channel heard %q, want to be asked about the refund before another one", got)
	}
}

func TestCallsToChannelsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	const bound = 3
	release := make(chan struct{})
	var mu sync.Mutex
	running, most := 0, 0
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		<-release
		mu.Lock()
		running--
		mu.Unlock()
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}
	s.startWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.ChannelTimeout, c.ChannelCallsMax = time.Minute, bound
	})
	s.acceptChannelRefunds(t, 20)
	eventually(t, "calls are under way", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return running == bound
	})
	close(release)
	eventually(t, "every refund has ended", func() bool { return s.pending(t) == 0 })
	if most > bound {
		t.Errorf("%d calls were under way at once, want at most %d", most, bound)
	}
}

func refundOrders(n int) []tasks.Payload {
	orders := make([]tasks.Payload, n)
	for i := range orders {
		orders[i] = &tasks.RefundOrder{Number: fmt.Sprintf("rf%010d", i), RefundID: "f1", OrderID: "o1", UserID: "u1",
			Channel: tasks.SourceWeChat, Captured: fen(500), Amount: fen(500), OccurredAt: noon}
	}
	return orders
}

func TestChannelThatIsDownIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{}, errors.New("bad gateway")
	}}
	now := clock.NewManual(noon)
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.Clock, c.ChannelCallsMax = now, 1
	})
	ring := ringOf(s.accept(t, refundOrders(50)...))
	if _, err := w.observer.handler.sender.send(t.Context(), ring); classOf(err) != classUnanswered {
		t.Errorf("a channel that is down is %s: %v", classOf(err), err)
	}
	if got := len(scripted.calls); got != channelFailuresMax {
		t.Errorf("a channel that is down was called %d times for 50 refunds, want %d", got, channelFailuresMax)
	}
	now.Advance(channelRestMin)
	if _, err := w.observer.handler.sender.send(t.Context(), ring); err != nil {
		t.Errorf("after its rest the channel is %s: %v", classOf(err), err)
	}
	if got := len(scripted.calls); got != channelFailuresMax+50 {
		t.Errorf("the channel was called %d times in all, want a query for each refund", got)
	}
}

func TestWhatASlowChannelHasEndedIsAppliedWithinTheDelivery(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	const prompt, slow = 3, 5
	var asked atomic.Int64
	scripted := &scriptedChannel{refund: func(ctx context.Context, _ string) (channel.RefundAnswer, error) {
		if asked.Add(1) <= prompt {
			return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
		}
		<-ctx.Done()
		return channel.RefundAnswer{}, ctx.Err()
	}}
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.ChannelTimeout, c.ChannelCallsMax = time.Minute, 1
	})
	sender := w.observer.handler.sender
	ring := ringOf(s.accept(t, refundOrders(prompt+slow)...))
	delivery, cancel := context.WithTimeout(t.Context(), finishTime+time.Second)
	defer cancel()
	answers, err := sender.send(delivery, ring)
	if classOf(err) != classUnanswered {
		t.Errorf("a delivery whose time is up is %s: %v", classOf(err), err)
	}
	applied := 0
	for _, answer := range answers {
		if answer.Outcome.Result == tasks.Applied {
			applied++
		}
	}
	if got := s.outcomesOf(t, tasks.RefundSend); got != prompt || applied != prompt {
		t.Errorf("%d refunds were applied, and %d answered so, want the %d that had ended", got, applied, prompt)
	}
	if left := sender.rests[tasks.SourceWeChat].left(); left != 0 || sender.rests[tasks.SourceWeChat].failures != 0 {
		t.Errorf("the channel is left alone for %s after calls that were cut short", left)
	}
}

// Ten minutes during which the channel's tasks come every few seconds: what is called stays within what its rests let through, and when it
// answers again each refund is asked about once, few at a time.
func TestChannelThatIsDownForLongIsCalledLittleAndIsSparedWhenItIsBack(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	const refunds, atOnce, outage, every = 50, 4, 10 * time.Minute, 5 * time.Second
	var down atomic.Bool
	var running, most atomic.Int64
	answer := func() (channel.RefundAnswer, error) {
		defer running.Add(-1)
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		if down.Load() {
			return channel.RefundAnswer{}, errors.New("bad gateway")
		}
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}
	scripted := &scriptedChannel{refund: func(context.Context, string) (channel.RefundAnswer, error) { return answer() },
		query: func(string) (channel.RefundAnswer, error) { return answer() }}
	now := clock.NewManual(noon)
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.Clock, c.ChannelCallsMax = now, atOnce
	})
	ring := ringOf(s.accept(t, refundOrders(refunds)...))
	down.Store(true)
	for range outage / every {
		if got := deliver(t, w, ring); got != classUnanswered {
			t.Fatalf("a ring of a channel that is down is %s", got)
		}
		now.Advance(every)
	}
	// The first failures, six rests that grow to the longest, and then rests of half the longest at least; after each, what is let in at once.
	budget := channelFailuresMax + atOnce*(1+6+int(outage/(channelRestMax/2)))
	if calls := len(scripted.calls); calls > budget || calls < 2*channelFailuresMax {
		t.Errorf("a channel that is down for %s was called %d times, want at most %d", outage, calls, budget)
	}
	down.Store(false)
	now.Advance(channelRestMax)
	before := len(scripted.calls)
	if got := deliver(t, w, ring); got != classDone {
		t.Errorf("when it is back the ring is %s", got)
	}
	if calls := len(scripted.calls) - before; calls > 2*refunds || most.Load() > atOnce || s.outcomesOf(t, tasks.RefundSend) != refunds {
		t.Errorf("%d calls, %d at once, for %d refunds of which %d are sent", calls, most.Load(), refunds, s.outcomesOf(t, tasks.RefundSend))
	}
}
