package channel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var (
	occurredAt = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	endedAt    = time.Date(2026, 3, 3, 1, 0, 0, 0, time.UTC)
)

func refundOrder(number string) tasks.RefundOrder {
	return tasks.RefundOrder{Number: number, RefundID: "r1", OrderID: "o1", UserID: "ada", Channel: tasks.SourceWeChat,
		ChannelTxnID: "t1", Captured: money.FromFen(20_00), Amount: money.FromFen(6_00), OccurredAt: occurredAt}
}

// refunder is a channel of which the test scripts every answer.
type refunder struct {
	refund func(tasks.RefundOrder) (channel.RefundAnswer, error)
	query  func(number string) (channel.RefundAnswer, error)
	calls  []string
}

func (r *refunder) Refund(_ context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	r.calls = append(r.calls, "refund "+order.Number)
	return r.refund(order)
}

func (r *refunder) Query(_ context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	r.calls = append(r.calls, "query "+order.Number)
	return r.query(order.Number)
}

func TestChannelIsQueriedBeforeARefundIsRepeated(t *testing.T) {
	t.Parallel()
	paid := channel.RefundAnswer{State: channel.RefundSucceeded}
	pending := channel.RefundAnswer{State: channel.RefundProcessing}
	down := errors.New("connection reset")
	for name, c := range map[string]struct {
		asked    bool
		queried  channel.RefundAnswer
		queryErr error
		want     channel.RefundAnswer
		wantErr  error
		calls    []string
	}{
		"never asked before":                {false, pending, nil, paid, nil, []string{"refund rf01"}},
		"asked before, and paid":            {true, paid, nil, paid, nil, []string{"query rf01"}},
		"asked before, and still at it":     {true, pending, nil, pending, nil, []string{"query rf01"}},
		"asked before, and no answer again": {true, channel.RefundAnswer{}, down, channel.RefundAnswer{}, down, []string{"query rf01"}},
		"asked before, and it never arrived": {true, channel.RefundAnswer{}, fmt.Errorf("query: %w", channel.ErrUnknownNumber), paid, nil,
			[]string{"query rf01", "refund rf01"}},
	} {
		r := &refunder{
			refund: func(tasks.RefundOrder) (channel.RefundAnswer, error) { return paid, nil },
			query:  func(string) (channel.RefundAnswer, error) { return c.queried, c.queryErr },
		}
		answer, err := channel.Pursue(t.Context(), r, refundOrder("rf01"), c.asked)
		if answer != c.want || !errors.Is(err, c.wantErr) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, answer, err, c.want, c.wantErr)
		}
		if diff := cmp.Diff(c.calls, r.calls); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", name, diff)
		}
	}
}

func TestFinalAnswersBecomeRefundAnswersAndOthersDoNot(t *testing.T) {
	t.Parallel()
	want := func(change func(*tasks.RefundResult)) *tasks.RefundResult {
		result := &tasks.RefundResult{Number: "rf01", RefundID: "r1", UserID: "ada", Channel: tasks.SourceWeChat,
			Amount: money.FromFen(6_00), Result: tasks.RefundSucceeded, OccurredAt: occurredAt}
		change(result)
		return result
	}
	for name, c := range map[string]struct {
		answer channel.RefundAnswer
		want   *tasks.RefundResult
	}{
		"succeeded": {channel.RefundAnswer{State: channel.RefundSucceeded}, want(func(*tasks.RefundResult) {})},
		"succeeded at a known time": {channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: endedAt},
			want(func(r *tasks.RefundResult) { r.OccurredAt = endedAt })},
		"failed": {channel.RefundAnswer{State: channel.RefundFailed, Reason: "card void"},
			want(func(r *tasks.RefundResult) { r.Result, r.Reason = tasks.RefundFailed, "card void" })},
		"processing":                  {channel.RefundAnswer{State: channel.RefundProcessing}, nil},
		"a state that nobody knows":   {channel.RefundAnswer{State: "reversed"}, nil},
		"no state, as with any error": {channel.RefundAnswer{}, nil},
	} {
		got, final := channel.Result(refundOrder("rf01"), c.answer)
		if diff := cmp.Diff(c.want, got); diff != "" || final != (c.want != nil) {
			t.Errorf("%s: final %v, result (-want +got):\n%s", name, final, diff)
		}
	}
}

func TestConsentOfTheOrderIsCarriedToTheAnswer(t *testing.T) {
	t.Parallel()
	order := refundOrder("rf01")
	order.Consented = true
	if result, _ := channel.Result(order, channel.RefundAnswer{State: channel.RefundFailed}); !result.Consented {
		t.Errorf("the answer has lost the consent: %+v", result)
	}
}

func TestReasonsOfChannelsAreMadeFitToStore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "reason"))
		if rapid.Bool().Draw(t, "text") {
			raw = rapid.StringN(0, 300, -1).Draw(t, "reason")
		}
		result, _ := channel.Result(refundOrder("rf01"), channel.RefundAnswer{State: channel.RefundFailed, Reason: raw})
		if !utf8.ValidString(result.Reason) || len(result.Reason) > 200 || strings.ContainsAny(result.Reason, "\x00\n\x7f") {
			t.Errorf("%q became %q", raw, result.Reason)
		}
		if err := tasks.Validate(result); err != nil {
			t.Errorf("the answer would not be accepted: %v", err)
		}
	})
}

func TestSimulatorsOfAllProcessesAnswerAlike(t *testing.T) {
	t.Parallel()
	config := channel.SimulatorConfig{FailedPerMille: 300, UnknownPerMille: 400}
	one, other := channel.NewSimulator(config), channel.NewSimulator(config)
	counts := map[string]int{}
	for i := range 2000 {
		order := refundOrder(fmt.Sprintf("rf%04d", i))
		first, err := one.Refund(t.Context(), order)
		again, againErr := other.Refund(t.Context(), order)
		if first != again || errors.Is(err, channel.ErrNoReply) != errors.Is(againErr, channel.ErrNoReply) {
			t.Fatalf("%s: %+v, %v at one and %+v, %v at the other", order.Number, first, err, again, againErr)
		}
		ended, err2 := one.Query(t.Context(), order)
		if err2 != nil || ended.State == channel.RefundProcessing || err == nil && first.State != channel.RefundProcessing && first != ended {
			t.Fatalf("%s: first %+v, then %+v, %v", order.Number, first, ended, err2)
		}
		counts[string(ended.State)]++
		if err != nil {
			counts["no reply"]++
		} else if first.State == channel.RefundProcessing {
			counts["processing"]++
		}
	}
	for what, want := range map[string]int{"failed": 600, "succeeded": 1400, "no reply": 400, "processing": 400} {
		if got := counts[what]; got < want-100 || got > want+100 {
			t.Errorf("%s: %d of 2000, want about %d", what, got, want)
		}
	}
}

func TestSimulatorWithoutFaultsPaysEveryRefund(t *testing.T) {
	t.Parallel()
	s := channel.NewSimulator(channel.SimulatorConfig{})
	for i := range 200 {
		answer, err := s.Refund(t.Context(), refundOrder(fmt.Sprintf("rf%04d", i)))
		if err != nil || answer.State != channel.RefundSucceeded {
			t.Fatalf("refund %d: %+v, %v", i, answer, err)
		}
	}
}

func TestSimulatorKnowsOnlyTheNumbersItWasAskedFor(t *testing.T) {
	t.Parallel()
	s := channel.NewSimulator(channel.SimulatorConfig{})
	if _, err := s.Query(t.Context(), refundOrder("rf01")); !errors.Is(err, channel.ErrUnknownNumber) {
		t.Errorf("query before the refund: %v, want %v", err, channel.ErrUnknownNumber)
	}
	for range 2 {
		if _, err := s.Refund(t.Context(), refundOrder("rf01")); err != nil {
			t.Errorf("refund: %v", err)
		}
	}
	if _, err := s.Query(t.Context(), refundOrder("rf01")); err != nil {
		t.Errorf("query after the refund: %v", err)
	}
	if got, want := s.Calls("rf01"), (channel.Calls{Refunds: 2, Queries: 1}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
	dearer := refundOrder("rf01")
	dearer.Amount = money.FromFen(6_01)
	if _, err := s.Refund(t.Context(), dearer); !errors.Is(err, channel.ErrNumberTaken) {
		t.Errorf("the number with another amount: %v, want %v", err, channel.ErrNumberTaken)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Refund(ended, refundOrder("rf02")); !errors.Is(err, context.Canceled) || s.Calls("rf02") != (channel.Calls{}) {
		t.Errorf("a call that was given up: %v, %+v", err, s.Calls("rf02"))
	}
}

func TestSimulatorForgetsTheOldestNumbers(t *testing.T) {
	t.Parallel()
	s := channel.NewSimulator(channel.SimulatorConfig{RememberMax: 10})
	for i := range 100 {
		if _, err := s.Refund(t.Context(), refundOrder(fmt.Sprintf("rf%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	remembered := 0
	for i := range 100 {
		known := s.Calls(fmt.Sprintf("rf%04d", i)).Refunds == 1
		if known {
			remembered++
		}
		if !known && i >= 90 {
			t.Errorf("number %d of 100 is forgotten", i)
		}
	}
	if remembered > 20 {
		t.Errorf("%d numbers are remembered, want at most 20", remembered)
	}
}

// Workers that hear different answers at different times must accept the same request.
func TestRefundPursuedByManyEndsOnceAndAlike(t *testing.T) {
	t.Parallel()
	s := channel.NewSimulator(channel.SimulatorConfig{FailedPerMille: 500, UnknownPerMille: 500})
	results := make([]*tasks.RefundResult, 8)
	for n := range 20 {
		order := refundOrder(fmt.Sprintf("rf%04d", n))
		clear(results)
		var workers sync.WaitGroup
		for i := range results {
			workers.Go(func() {
				for asked := range 2 {
					answer, err := channel.Pursue(t.Context(), s, order, asked > 0)
					if result, final := channel.Result(order, answer); err == nil && final {
						results[i] = result
						return
					}
				}
			})
		}
		workers.Wait()
		for i := range results {
			if diff := cmp.Diff(results[0], results[i]); results[i] == nil || diff != "" {
				t.Errorf("%s: worker %d heard no answer or another (-first +this):\n%s", order.Number, i, diff)
			}
		}
	}
}
