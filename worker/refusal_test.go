package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// refusal is what a port returns for a signed refusal.
func refusal(words string) error {
	return fmt.Errorf("refund: %w: %w", channel.ErrRefused, errors.New(words))
}

func neverSeen(string) (channel.RefundAnswer, error) {
	return channel.RefundAnswer{}, channel.ErrUnknownNumber
}

// deliver delivers the ring once.
func deliver(t *testing.T, w *Worker, ring tasks.Ring) class {
	t.Helper()
	task, err := ring.Task()
	if err != nil {
		t.Fatal(err)
	}
	return classOf(w.observer.handler.serve(t.Context(), newDelivery(t.Context(), task), task.Payload()))
}

func (s *stack) lastError(t *testing.T, id uuid.UUID) string {
	t.Helper()
	var text string
	if err := s.db.Pool.QueryRow(t.Context(), "SELECT coalesce(last_error, '') FROM pending WHERE request_id = $1", id).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRefusedRefundsDoNotHoldUpTheirChannelsOthers(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	const refused, paid = 10, 10
	scripted := &scriptedChannel{refund: func(_ context.Context, number string) (channel.RefundAnswer, error) {
		if number < fmt.Sprintf("rf%010d", refused) {
			return channel.RefundAnswer{}, refusal("403 NOT_ENOUGH")
		}
		return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	}}
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.ChannelCallsMax = 1
	})
	ring := ringOf(s.accept(t, refundOrders(refused+paid)...))
	if got := deliver(t, w, ring); got != classRefused {
		t.Errorf("the ring is %s, want it ended: the relay comes again for the refused ones", got)
	}
	if got := s.outcomesOf(t, tasks.RefundSend); got != paid {
		t.Errorf("%d refunds were paid, want %d", got, paid)
	}
	if rest := w.observer.handler.sender.rests[tasks.SourceWeChat]; rest.left() != 0 || rest.failures != 0 {
		t.Errorf("a channel that answers rests for %s after %d failures", rest.left(), rest.failures)
	}
}

func TestRefusedRefundIsDeadAfterItsRefusalsWithTheChannelsWords(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	scripted := &scriptedChannel{query: neverSeen, refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{}, refusal("answered 403 NOT_ENOUGH \"余额不足\"")
	}}
	w := s.newWorker(t, withChannel(scripted))
	ring := ringOf(s.accept(t, refundOrders(1)...))
	for start := 1; start < refusalsMax; start++ {
		if got := deliver(t, w, ring); got != classRefused {
			t.Fatalf("start %d is %s", start, got)
		}
	}
	if got := s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted'"); got != 1 {
		t.Errorf("after %d refusals %d refunds are tried on, want 1", refusalsMax-1, got)
	}
	for range 2 { // the second delivery finds it dead
		if got := deliver(t, w, ring); got != classDone {
			t.Errorf("the last start is %s, want done", got)
		}
	}
	letters, err := s.reader.Dead(t.Context(), 10)
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].LastError, "wechat") ||
		!strings.Contains(letters[0].LastError, "NOT_ENOUGH \"余额不足\"") {
		t.Errorf("dead letters are %+v, %v; want the channel's own words", letters, err)
	}
	if got := len(scripted.calls); got != 2*refusalsMax-1 {
		t.Errorf("the channel heard %v, want a query before each repeat and nothing of a dead refund", scripted.calls)
	}
	if err := s.ledger.Requeue(t.Context(), tasks.RefundSend, letters[0].Key, "ada"); err != nil {
		t.Fatal(err)
	}
	for start := 1; start < refusalsMax; start++ {
		if got := deliver(t, w, ring); got != classRefused {
			t.Fatalf("start %d after it was requeued is %s, want refused", start, got)
		}
	}
	if got := deliver(t, w, ring); got != classDone {
		t.Errorf("its last start is %s, want done", got)
	}
}

func TestOutageOfAChannelOfAnyLengthMakesNoRefundDead(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	down := errors.New("bad gateway")
	problem := down
	scripted := &scriptedChannel{
		query:  func(string) (channel.RefundAnswer, error) { return channel.RefundAnswer{}, problem },
		refund: func(context.Context, string) (channel.RefundAnswer, error) { return channel.RefundAnswer{}, problem },
	}
	now := clock.NewManual(noon)
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.Clock = now
	})
	ring := ringOf(s.accept(t, refundOrders(3)...))
	for round := range 3 * refusalsMax {
		if got := deliver(t, w, ring); got != classUnanswered {
			t.Fatalf("round %d of the outage is %s", round, got)
		}
		if round%2 == 0 { // every other one finds the channel left alone
			now.Advance(channelRestMax)
		}
	}
	now.Advance(channelRestMax)
	// One that answers again has refused once.
	problem = refusal("answered 403 NOT_ENOUGH")
	if got := deliver(t, w, ring); got != classRefused {
		t.Errorf("a refusal after the outage is %s", got)
	}
	if got := s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted' AND attempts BETWEEN 2 AND 3"); got != 3 {
		t.Errorf("%d of 3 refunds are tried on with the starts of one refusal", got)
	}
	scripted.mu.Lock()
	defer scripted.mu.Unlock()
	for i, call := range scripted.calls {
		if i >= len(ring.IDs) && call == "refund" {
			t.Fatalf("call %d repeats a refund without a query: %q", i, scripted.calls)
		}
	}
}

func TestLastErrorOfARefundIsItsOwn(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	orders := refundOrders(3)
	orders[1].(*tasks.RefundOrder).Channel = tasks.SourceAlipay
	orders[2].(*tasks.RefundOrder).Channel = tasks.SourceUnionPay
	answering := func(problem error) *scriptedChannel {
		return &scriptedChannel{query: neverSeen, refund: func(context.Context, string) (channel.RefundAnswer, error) {
			return channel.RefundAnswer{}, problem
		}}
	}
	w := s.newWorker(t, func(c *Config) {
		c.Refunders = map[tasks.Source]channel.Refunder{tasks.SourceWeChat: answering(refusal("NOT_ENOUGH")),
			tasks.SourceAlipay: answering(errors.New("connection reset")), tasks.SourceUnionPay: answering(refusal("36"))}
	})
	receipts := s.accept(t, orders...)
	eventually(t, "the ring is pending", func() bool { return s.redis.LLen(t.Context(), "asynq:{low}:pending").Val() == 1 })
	ring := ringOf(receipts)
	check := func(when string) {
		t.Helper()
		for i, want := range []string{"wechat: refund: channel refuses: NOT_ENOUGH", errUnanswered.Error() + ": alipay: connection reset",
			"unionpay: refund: channel refuses: 36"} {
			if got := s.lastError(t, ring.IDs[i]); got != want {
				t.Errorf("%s the last error of %s is %q, want %q", when, orders[i].(*tasks.RefundOrder).Channel, got, want)
			}
		}
	}
	if got := deliver(t, w, ring); got != classRefused {
		t.Errorf("the ring is %s, want it ended", got)
	}
	check("after the calls")
	if got := s.redis.LLen(t.Context(), "asynq:{low}:pending").Val(); got != 2 {
		t.Errorf("%d rings are pending, want another one for the refund that nobody refused", got)
	}
	for _, rest := range w.observer.handler.sender.rests {
		rest.until = clock.System.Now().Add(time.Hour)
	}
	if got := deliver(t, w, ring); got != classUnanswered {
		t.Errorf("a ring of channels that are left alone is %s", got)
	}
	check("while the channels are left alone")
}

// A card takes days. The relay rings for its refund every ten minutes, and a task of each of those rings that asked on by itself would have
// the channel asked about one refund several times a minute.
func TestRefundThatIsProcessingIsAskedAboutOncePerRingOfTheRelay(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	orders := refundOrders(2)
	orders[1].(*tasks.RefundOrder).Channel = tasks.SourceAlipay
	processing := channel.RefundAnswer{State: channel.RefundProcessing}
	wechat := &scriptedChannel{query: func(string) (channel.RefundAnswer, error) { return processing, nil },
		refund: func(context.Context, string) (channel.RefundAnswer, error) { return processing, nil }}
	answer, problem := processing, error(nil)
	alipay := &scriptedChannel{query: func(string) (channel.RefundAnswer, error) { return answer, problem }, refund: wechat.refund}
	w := s.newWorker(t, func(c *Config) {
		c.Refunders = map[tasks.Source]channel.Refunder{tasks.SourceWeChat: wechat, tasks.SourceAlipay: alipay}
	})
	ring := ringOf(s.accept(t, orders...))
	eventually(t, "the ring is pending", func() bool { return s.redis.LLen(t.Context(), "asynq:{low}:pending").Val() == 1 })
	if got := deliver(t, w, ring); got != classUnanswered {
		t.Errorf("the first ring is %s, want it to ask on: most refunds end within minutes", got)
	}
	ring.Again = true
	for _, refund := range ring.IDs {
		if got, want := s.lastError(t, refund), "it is processing"; !strings.HasSuffix(got, want) {
			t.Errorf("the last error is %q, want %q", got, want)
		}
	}
	if got := deliver(t, w, ring); got != classProcessing || !treatments[got].ends {
		t.Errorf("a ring of the relay is %s, want it ended: the relay comes again", got)
	}
	problem = errors.New("connection reset")
	if got := deliver(t, w, ring); got != classProcessing {
		t.Errorf("a ring of the relay of which one is unanswered is %s", got)
	}
	if got := s.redis.LLen(t.Context(), "asynq:{low}:pending").Val(); got != 2 {
		t.Errorf("%d rings are pending, want another one for the refund that nobody answered", got)
	}
	answer, problem = channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	if got := deliver(t, w, ring); got != classProcessing || s.outcomesOf(t, tasks.RefundSend) != 1 {
		t.Errorf("a ring of which one has ended is %s, and %d were applied", got, s.outcomesOf(t, tasks.RefundSend))
	}
	if got := fmt.Sprint(wechat.calls); got != "[refund query query query]" {
		t.Errorf("the channel heard %s, want a question for each delivery", got)
	}
}

// merchantRefusal is what a port returns for a signed refusal that every refund gets.
func merchantRefusal(words string) error {
	return fmt.Errorf("refund: %w: %w", channel.ErrMerchantRefused, errors.New(words))
}

func TestRefusalOfTheMerchantMakesNoRefundDeadHoweverLongItLasts(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	answer, problem := channel.RefundAnswer{}, merchantRefusal("answered 403 NOT_ENOUGH")
	scripted := &scriptedChannel{query: neverSeen, refund: func(context.Context, string) (channel.RefundAnswer, error) { return answer, problem }}
	now := clock.NewManual(noon)
	w := s.newWorker(t, func(c *Config) {
		withChannel(scripted)(c)
		c.Clock = now
	})
	const refunds = channelFailuresMax
	ring := ringOf(s.accept(t, refundOrders(refunds)...))
	for round := range 2 * refusalsMax {
		if got := deliver(t, w, ring); got != classMerchantRefused {
			t.Fatalf("round %d is %s, want it ended: the relay comes again", round, got)
		}
		if got := deliver(t, w, ring); got != classUnanswered {
			t.Fatalf("round %d is followed by %s, want the channel left alone", round, got)
		}
		now.Advance(channelRestMax)
	}
	if got := s.count(t, "SELECT count(*) FROM pending WHERE state = 'accepted' AND refusals = 0 AND attempts = 1"); got != refunds {
		t.Errorf("%d of %d refunds are tried on as if nobody had refused them", got, refunds)
	}
	if got := s.lastError(t, ring.IDs[0]); !strings.Contains(got, "refuses the merchant: answered 403 NOT_ENOUGH") {
		t.Errorf("the last error is %q, want the channel's words", got)
	}
	if got := testutil.ToFloat64(w.metrics.merchantRefusals.WithLabelValues("wechat")); got < 2*refusalsMax {
		t.Errorf("%v refusals of the merchant are counted, want at least one a round", got)
	}
	answer, problem = channel.RefundAnswer{State: channel.RefundSucceeded}, nil
	if got := deliver(t, w, ring); got != classDone || s.outcomesOf(t, tasks.RefundSend) != refunds {
		t.Errorf("after it was mended the ring is %s, and %d refunds are paid", got, s.outcomesOf(t, tasks.RefundSend))
	}
}

func TestOnlyRefusalsMakeARefundDead(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(500))
	scripted := &scriptedChannel{query: neverSeen, refund: func(context.Context, string) (channel.RefundAnswer, error) {
		return channel.RefundAnswer{}, refusal("36")
	}}
	w := s.newWorker(t, withChannel(scripted))
	ring := ringOf(s.accept(t, refundOrders(1)...))
	for range 2 * refusalsMax { // as many processes took it, and died
		if _, err := s.ledger.Suspect(t.Context(), ring); err != nil {
			t.Fatal(err)
		}
	}
	for start := 1; start < refusalsMax; start++ {
		if got := deliver(t, w, ring); got != classRefused {
			t.Fatalf("refusal %d is %s, want that the refund is tried on", start, got)
		}
	}
	if got := deliver(t, w, ring); got != classDone {
		t.Errorf("the last refusal is %s, want the refund dead", got)
	}
	scripted.mu.Lock()
	defer scripted.mu.Unlock()
	if scripted.calls[0] != "query" {
		t.Errorf("the first call is %s: a lost process may have asked before", scripted.calls[0])
	}
}
