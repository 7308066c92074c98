package webhook

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestOutcomesArriveOnceWithTheirSequence(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL+"/hook?x=1", "reward.applied")
	w.rewards(t, "w", 150) // more than two pages
	c := w.courier(t)
	round(t, c)
	round(t, c)
	if got := sequences(r.take()); !slices.Equal(got, upTo(150)) {
		t.Errorf("received %v, want 1 to 150", got)
	}
	for _, m := range w.messages(t, e) {
		if m.State != Delivered || m.Attempts != 1 || m.Status != http.StatusNoContent || m.Problem != "" || m.EndedAt == nil {
			t.Fatalf("message %+v", m)
		}
	}
}

// What is received verifies by the reference implementation, with the secret that was shown, and only with that one.
func TestSignatureHoldsByTheReferenceLibrary(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	w.clock.Set(clock.System.Now()) // the library's own clock
	e, first := w.add(t, r.URL, "reward.applied")
	c := w.courier(t)
	verify := func(secrets ...Secret) (holds []bool) {
		w.rewards(t, fmt.Sprint("w", len(w.messages(t, e))), 1)
		round(t, c)
		got := r.take()
		if len(got) != 1 {
			t.Fatalf("%d messages were received", len(got))
		}
		for _, secret := range secrets {
			library, err := standardwebhooks.NewWebhook(secret.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			holds = append(holds, library.Verify(got[0].body, got[0].header) == nil)
		}
		return holds
	}
	if got := verify(first, newSecret()); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("verified by its secret and by another: %v", got)
	}
	second, err := w.registry.Rotate(t.Context(), e.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(first, second); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("verified during the overlap by the old and the new secret: %v", got)
	}
	w.exec(t, "UPDATE webhook_endpoints SET previous_secret_until = clock_timestamp()")
	if got := verify(first, second); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("verified after the overlap by the old and the new secret: %v", got)
	}
	third, err := w.registry.Rotate(t.Context(), e.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(first, second, third); !slices.Equal(got, []bool{false, false, true}) {
		t.Errorf("verified without an overlap by the three secrets: %v", got)
	}
}

// H3: ten tries over three days, each under the same id, then it waits for a person.
func TestMessageIsDeadAfterTenTriesOverThreeDays(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.answers(answering(http.StatusInternalServerError))
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", 1)
	c := w.courier(t)
	var waited time.Duration
	ids := map[string]bool{}
	for try := 1; ; try++ {
		round(t, c)
		got := r.take()
		if len(got) != 1 {
			t.Fatalf("try %d: %d messages were received", try, len(got))
		}
		ids[got[0].id()] = true
		m := w.messages(t, e)[0]
		if m.Attempts != try || m.Status != 500 || m.Problem != "it answered 500" {
			t.Fatalf("after try %d: %+v", try, m)
		}
		if m.State == Dead {
			if try != 10 {
				t.Errorf("dead after %d tries, want 10", try)
			}
			break
		}
		pause := w.untilNextTry(t, e)
		if low, high := pauses[try-1]-time.Minute, pauses[try-1]*11/10+time.Minute; pause < low || pause > high {
			t.Errorf("after try %d it pauses for %s, want %s and up to a tenth more", try, pause, pauses[try-1])
		}
		w.passes(t, pause-time.Second)
		round(t, c)
		if got := r.take(); len(got) > 0 && pause > time.Minute {
			t.Fatalf("try %d came before its time", try+1)
		}
		w.passes(t, time.Minute)
		waited += pause
	}
	if waited < 3*24*time.Hour || waited > 84*time.Hour {
		t.Errorf("it was dead after %s, want three days and up to half a day", waited)
	}
	if len(ids) != 1 {
		t.Errorf("it came under %d ids, want one", len(ids))
	}
	w.passes(t, 100*24*time.Hour)
	round(t, c)
	if got := r.take(); len(got) != 0 {
		t.Error("a dead message was tried")
	}
	if got := testutil.ToFloat64(c.metrics.dead); got != 1 {
		t.Errorf("%v dead messages are counted, want 1", got)
	}
	if got := testutil.ToFloat64(c.metrics.burials); got != 1 {
		t.Errorf("%v messages are counted that became dead, want 1", got)
	}
	if log := w.log.String(); !strings.Contains(log, "webhook messages are dead after their last try") || !strings.Contains(log, e.ID) {
		t.Errorf("a person is not told:\n%s", log)
	}
}

// untilNextTry is how long the endpoint's first message waits, by PostgreSQL's clock.
func (w *world) untilNextTry(t *testing.T, e Endpoint) time.Duration {
	t.Helper()
	var wait time.Duration
	if err := w.DB.Owner.QueryRow(t.Context(), "SELECT next_try_at - clock_timestamp() FROM webhook_messages WHERE endpoint_id = $1 AND sequence = 1",
		e.ID).Scan(&wait); err != nil {
		t.Fatal(err)
	}
	return wait
}

func TestEndpointThatAsksForAPauseIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			r.answers(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(status)
			})
			w.add(t, r.URL, "reward.applied")
			w.rewards(t, "w", 3)
			c := w.courier(t)
			round(t, c)
			r.answers(answering(http.StatusOK))
			r.take()
			w.rewards(t, "more", 3)
			w.passes(t, 59*time.Minute)
			round(t, c)
			if got := r.take(); len(got) != 0 {
				t.Errorf("%d messages came during the pause", len(got))
			}
			w.passes(t, time.Minute)
			round(t, c)
			if got := len(r.take()); got != 6 {
				t.Errorf("%d messages came after the pause, want 6", got)
			}
		})
	}
}

// H7: one that does not answer holds up nobody but itself.
func TestEndpointThatHangsKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	w, slow, quick := newWorld(t), newReceiver(t), newReceiver(t)
	hung, release := make(chan struct{}, 100), make(chan struct{})
	slow.answers(func(http.ResponseWriter, *http.Request) {
		hung <- struct{}{}
		<-release
	})
	arrived := make(chan struct{}, 100)
	quick.answers(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} })
	w.add(t, slow.URL, "reward.applied")
	w.add(t, quick.URL, "reward.applied")
	w.rewards(t, "w", 40)
	c := w.courier(t)
	if _, err := c.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range shareMax {
		<-hung
	}
	for range 40 {
		<-arrived
	}
	w.rewards(t, "more", 5)
	for more := 0; more < 5; { // a round passes over an endpoint whose last page is still being ended; the next one finds it
		select {
		case <-arrived:
			more++
		default:
			if _, err := c.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := len(slow.take()); got != shareMax {
		t.Errorf("%d attempts are under way to the endpoint that hangs, want %d", got, shareMax)
	}
	close(release)
	c.running.Wait()
}

// H7: an endpoint that is down costs one attempt a round, and its other messages keep their tries for when it is back.
func TestEndpointThatTakesNothingIsTriedWithOneMessage(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.answers(answering(http.StatusBadGateway))
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", shareMax*perAttempt+30)
	c := w.courier(t)
	round(t, c)
	if got := len(r.take()); got != shareMax*perAttempt {
		t.Fatalf("%d attempts at first, want a page of %d", got, shareMax*perAttempt)
	}
	w.exec(t, "UPDATE webhook_messages SET next_try_at = next_try_at + interval '1 hour' WHERE attempts > 0")
	for range 3 {
		round(t, c)
		if got := len(r.take()); got != 1 {
			t.Errorf("%d attempts in a round, want 1", got)
		}
	}
	r.answers(answering(http.StatusOK))
	w.exec(t, "UPDATE webhook_messages SET next_try_at = next_try_at + interval '1 hour' WHERE attempts > 0")
	round(t, c)
	if got := len(r.take()); got != 27 {
		t.Errorf("%d attempts when it is back, want those 27 that were not tried", got)
	}
	for _, m := range w.messages(t, e) {
		if m.Attempts != 1 {
			t.Errorf("message %d has %d attempts, want 1", m.Sequence, m.Attempts)
		}
	}
}

// A connection that fails ends the page: what was not begun is given back as it was.
func TestPageEndsWhenItsEndpointIsAway(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.Close()
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", shareMax*perAttempt)
	c := w.courier(t)
	round(t, c)
	tried := 0
	for _, m := range w.messages(t, e) {
		switch {
		case m.Attempts == 1 && m.Problem == "the connection was refused" && m.Status == 0:
			tried++
		case m.Attempts != 0 || m.Problem != "" || m.NextTryAt.After(m.CreatedAt.Add(time.Second)):
			t.Errorf("message that was not tried: %+v", m)
		}
	}
	if tried == 0 || tried > 2*shareMax {
		t.Errorf("%d messages were tried, want 1 to %d", tried, 2*shareMax)
	}
}

// A process that is gone in the middle leaves its messages to others when its lease has ended, not before; should it come back, what it
// says counts no more.
func TestLeaseKeepsOthersAwayUntilItEnds(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", 1)
	w.gatherAll(t)
	c := w.courier(t)
	claimed, err := c.claim(t.Context(), e.ID, 10)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	round(t, c)
	if got := r.take(); len(got) != 0 {
		t.Fatal("a message was tried that another process has")
	}
	w.passes(t, lease)
	round(t, c)
	if got := r.take(); len(got) != 1 {
		t.Fatalf("%d messages came when the lease had ended, want 1", len(got))
	}
	for _, late := range []attempt{{made: true, problem: "late"}, {}} {
		if _, err := c.store(t.Context(), e.ID, claimed, []attempt{late}); err != nil {
			t.Fatal(err)
		}
		if m := w.messages(t, e)[0]; m.State != Delivered || m.Problem != "" || m.Attempts != 2 {
			t.Errorf("what came late was stored: %+v", m)
		}
	}
}

// A message that is redelivered while an attempt is under way is delivered again, whatever that attempt comes to.
func TestRedeliveryOutlivesAnAttemptUnderWay(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", 1)
	c := w.courier(t)
	r.answers(func(http.ResponseWriter, *http.Request) {
		if _, err := w.registry.Redeliver(t.Context(), e.ID, 1, Newest, ""); err != nil {
			t.Error(err)
		}
		r.answers(answering(http.StatusOK))
	})
	round(t, c)
	if m := w.messages(t, e)[0]; m.State != Waiting || m.Attempts != 0 {
		t.Errorf("the attempt that was under way was stored: %+v", m)
	}
	round(t, c)
	if got := len(r.take()); got != 2 {
		t.Errorf("it came %d times, want twice", got)
	}
}

func TestStoppedCourierGivesBackWhatItHasNotFinished(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	w.rewards(t, "w", 30)
	c := w.courier(t)
	ctx, stop := context.WithCancel(t.Context())
	release := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(shareMax)
	r.answers(func(http.ResponseWriter, *http.Request) {
		begun.Done()
		<-release
	})
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	begun.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(release)
	for _, m := range w.messages(t, e) {
		if m.State != Waiting || m.Attempts != 0 || m.NextTryAt.After(m.CreatedAt.Add(time.Second)) {
			t.Errorf("message was not given back: %+v", m)
		}
	}
	r.answers(answering(http.StatusOK))
	r.take()
	round(t, w.courier(t))
	if got := sequences(r.take()); !slices.Equal(got, upTo(30)) {
		t.Errorf("another process delivered %v, want 1 to 30", got)
	}
}

func TestMessagesAreDeliveredAgainByAPersonsChoice(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	other, _ := w.add(t, r.URL, "reward.rejected")
	w.rewards(t, "w", 20)
	c := w.courier(t)
	round(t, c)
	first := r.take()
	w.exec(t, "UPDATE webhook_messages SET state = 'dead', attempts = 10 WHERE sequence IN (3, 7, 19)")
	for _, choice := range []struct {
		from, to int64
		state    State
		want     []int64
	}{
		{7, Newest, Dead, []int64{7, 19}},
		{7, Newest, Dead, []int64{}},
		{1, Newest, Dead, []int64{3}},
		{15, Newest, "", []int64{15, 16, 17, 18, 19, 20}},
		{4, 4, "", []int64{4}},
		{1, Newest, "", upTo(20)},
		{21, Newest, "", []int64{}},
	} {
		n, err := w.registry.Redeliver(t.Context(), e.ID, choice.from, choice.to, choice.state)
		if err != nil || n != int64(len(choice.want)) {
			t.Errorf("%+v: %d messages, %v", choice, n, err)
		}
		w.passes(t, time.Second)
		round(t, c)
		got := r.take()
		if diff := cmp.Diff(choice.want, sequences(got)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", choice, diff)
		}
		for _, again := range got {
			i := slices.IndexFunc(first, func(f received) bool { return f.message.Sequence == again.message.Sequence })
			if first[i].id() != again.id() || string(first[i].body) != string(again.body) {
				t.Errorf("message %d came again as another", again.message.Sequence)
			}
		}
	}
	if _, err := w.registry.Redeliver(t.Context(), other.ID, 1, Newest, ""); err != nil {
		t.Errorf("an endpoint without messages: %v", err)
	}
}

func TestManyMessagesAreRedeliveredInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.rewards(t, "w", 2*RedeliverMax+1)
	for range 3 {
		w.gatherAll(t)
	}
	w.exec(t, "UPDATE webhook_messages SET state = 'delivered', ended_at = now()")
	if n, err := w.registry.Redeliver(t.Context(), e.ID, 1, Newest, ""); err != nil || n != 2*RedeliverMax+1 {
		t.Errorf("%d messages, %v", n, err)
	}
	if n, err := w.registry.Redeliver(t.Context(), e.ID, 1, RedeliverMax, Waiting); err != nil || n != RedeliverMax {
		t.Errorf("%d messages of one full page, %v", n, err)
	}
}

// killed is a process that dies after some statements: whatever it asks PostgreSQL later is not asked.
type killed struct {
	mu    sync.Mutex
	lives int
	dead  context.Context
}

func (k *killed) begin(ctx context.Context) context.Context {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lives--
	if k.lives < 0 {
		return k.dead
	}
	return ctx
}

func (k *killed) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return k.begin(ctx)
}

func (k *killed) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (k *killed) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return k.begin(ctx)
}

func (k *killed) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (k *killed) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// H1, H2, H3: a process may die at any statement, and what follows delivers everything, numbered without a gap.
func TestProcessThatDiesAnywhereLosesNothing(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied", "reward.rejected")
	dead, kill := context.WithCancel(t.Context())
	kill()
	outcomes, received := 0, map[int64]bool{}
	note := func() {
		for _, got := range r.take() {
			received[got.message.Sequence] = true
		}
	}
	for lives := 0; ; lives++ {
		w.rewards(t, fmt.Sprintf("k%d-", lives), 6)
		outcomes += 6
		victim := &killed{lives: math.MaxInt, dead: dead}
		c := w.courier(t)
		c.config.Pool = w.tracedPool(t, victim)
		victim.lives = lives
		_, err := c.round(t.Context())
		c.running.Wait()
		note()
		if err == nil && victim.lives >= 0 {
			break // it lived to the end of its round
		}
		if lives > 200 {
			t.Fatal("the round never ends")
		}
		w.passes(t, lease)
	}
	for range 3 {
		w.passes(t, time.Hour)
		round(t, w.courier(t))
	}
	note()
	if len(received) != outcomes {
		t.Errorf("%d messages were received of %d outcomes", len(received), outcomes)
	}
	for i, m := range w.messages(t, e) {
		if m.Sequence != int64(i+1) || m.State != Delivered || !received[m.Sequence] {
			t.Errorf("message %d: %+v, received: %v", i+1, m, received[m.Sequence])
		}
	}
	list, err := w.registry.Endpoints(t.Context(), producer)
	if err != nil || list[0].Next != int64(outcomes+1) {
		t.Errorf("next sequence is %d, %v; want %d", list[0].Next, err, outcomes+1)
	}
}

// Several processes gather and deliver at once, while messages are redelivered and more is decided.
func TestSeveralCouriersLoseNothingAndLeaveNoGap(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	var endpoints []Endpoint
	for range 3 {
		e, _ := w.add(t, r.URL, "reward.applied")
		endpoints = append(endpoints, e)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 3 {
		c := w.courier(t)
		c.config.Clock, c.config.Poll = clock.System, time.Millisecond
		running.Go(func() { _ = c.Run(ctx) })
	}
	for i := range 10 {
		w.rewards(t, fmt.Sprintf("w%d-", i), 30)
		if _, err := w.registry.Redeliver(t.Context(), endpoints[i%3].ID, int64(i+1), Newest, ""); err != nil {
			t.Error(err)
		}
	}
	w.eventually(t, "all are delivered", "SELECT count(*) = 900 AND bool_and(state = 'delivered') FROM webhook_messages")
	stop()
	running.Wait()
	received := map[string]bool{}
	for _, got := range r.take() {
		received[got.id()] = true
	}
	for _, e := range endpoints {
		for i, m := range w.messages(t, e) {
			if m.Sequence != int64(i+1) || !received[fmt.Sprintf("msg_%s_%d", e.ID, m.Sequence)] {
				t.Errorf("message %d: %+v was not received", i+1, m)
			}
		}
	}
}

// A batch's rejections are told as well as what it applied.
func TestRejectionIsToldWithItsReason(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	w.add(t, r.URL, "payment.rejected")
	w.Do(t, ledgertest.Payment("o1", "poor", ledgertest.Leg(tasks.SourceCash, "4.00")))
	round(t, w.courier(t))
	got := r.take()
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	if o := got[0].message.Data.Outcome; o.Result != tasks.Rejected || o.Reason != tasks.NoAccount || o.Transfers != 0 {
		t.Errorf("outcome %+v", o)
	}
}
