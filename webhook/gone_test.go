package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/ledger/ledgertest"
)

// listed is an endpoint as an operator sees it.
func (w *world) listed(t *testing.T, id string) Endpoint {
	t.Helper()
	list, err := w.registry.Endpoints(t.Context(), producer)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(e Endpoint) bool { return e.ID == id })
	if at < 0 {
		t.Fatalf("%s is not listed", id)
	}
	return list[at]
}

// reward has one user's reward applied.
func (w *world) reward(t *testing.T, key string) {
	t.Helper()
	w.Do(t, ledgertest.Reward(key, "u1", "0.01"))
}

// arrived are the messages that were received, by their sequence.
func arrived(got []received) []string {
	list := make([]string, len(got))
	for i, g := range got {
		list[i] = fmt.Sprintf("%d %s", g.message.Sequence, g.message.Data.Key)
	}
	slices.Sort(list)
	return list
}

// H1, H2: an answer of 410 is the producer's, and may be a mistake: nothing that is decided until a person looks is lost.
func TestEndpointThatIsGoneMissesNothingOnceItIsEnabled(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	c := w.courier(t)
	w.reward(t, "a1")
	round(t, c)
	r.answers(answering(http.StatusGone))
	w.reward(t, "b1")
	round(t, c)
	if diff := cmp.Diff([]string{"1 a1", "2 b1"}, arrived(r.take())); diff != "" {
		t.Fatalf("before it was gone (-want +got):\n%s", diff)
	}
	r.answers(answering(http.StatusOK))
	w.reward(t, "c1")
	round(t, c)
	w.reward(t, "c2") // not gathered when the endpoint is enabled
	w.passes(t, time.Hour)
	if got := arrived(r.take()); len(got) > 0 {
		t.Errorf("%v came while it was disabled", got)
	}
	if got := w.listed(t, e.ID); got.DisabledAt == nil || got.Because != "it answered 410 Gone" || got.Waiting != 2 {
		t.Errorf("it is listed as %+v, want it disabled with b1 and c1 waiting", got)
	}
	if err := w.registry.Enable(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	w.reward(t, "d1")
	round(t, c)
	round(t, c) // one message at a time until it takes something
	if diff := cmp.Diff([]string{"2 b1", "3 c1", "4 c2", "5 d1"}, arrived(r.take())); diff != "" {
		t.Errorf("after it was enabled (-want +got):\n%s", diff)
	}
	if got := w.listed(t, e.ID); got.DisabledAt != nil || got.Because != "" || got.Waiting != 0 || got.Next != 6 {
		t.Errorf("after it was enabled it is listed as %+v", got)
	}
}

// A person hears of an endpoint that its own answer has disabled, and no more once they have decided.
func TestGoneEndpointsAreCountedUntilAPersonDecides(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	r.answers(answering(http.StatusGone))
	first, _ := w.add(t, r.URL, "reward.applied")
	second, _ := w.add(t, r.URL, "reward.applied")
	third, _ := w.add(t, r.URL, "reward.rejected") // is never called
	if err := w.registry.Disable(t.Context(), third.ID, "nobody listens", "ada"); err != nil {
		t.Fatal(err)
	}
	c := w.courier(t)
	counts := func(want float64, when string) {
		t.Helper()
		w.clock.Advance(countEvery)
		round(t, c)
		if got := testutil.ToFloat64(c.metrics.gone); got != want {
			t.Errorf("%v gone endpoints are counted %s, want %v", got, when, want)
		}
	}
	counts(0, "before they are called")
	w.reward(t, "a1")
	round(t, c)
	counts(2, "after they answered")
	r.answers(answering(http.StatusOK))
	if err := w.registry.Enable(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	counts(1, "after one was enabled")
	if err := w.registry.Disable(t.Context(), second.ID, "the shop has moved", "ada"); err != nil {
		t.Fatal(err)
	}
	counts(0, "after the other was disabled by a person")
}

// A person who disables an endpoint that is gone means it: nothing more piles up for it, and their reason is the one that is listed.
func TestGoneEndpointThatAPersonDisablesIsToldOfNothingMore(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	r.answers(answering(http.StatusGone))
	w.reward(t, "a1")
	c := w.courier(t)
	round(t, c)
	w.reward(t, "b1")
	round(t, c)
	for _, reason := range []string{"the shop has moved", "it has moved indeed"} {
		if err := w.registry.Disable(t.Context(), e.ID, reason, "ada"); err != nil {
			t.Fatal(err)
		}
	}
	r.answers(answering(http.StatusOK))
	r.take()
	w.reward(t, "c1")
	w.passes(t, time.Hour)
	round(t, c)
	if got := w.listed(t, e.ID); got.DisabledAt == nil || got.Because != "the shop has moved (ada)" || got.Waiting != 2 {
		t.Errorf("it is listed as %+v, want it disabled by ada with a1 and b1 waiting", got)
	}
	if err := w.registry.Enable(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	w.reward(t, "d1")
	round(t, c)
	round(t, c)
	if diff := cmp.Diff([]string{"1 a1", "2 b1", "3 d1"}, arrived(r.take())); diff != "" {
		t.Errorf("after it was enabled (-want +got):\n%s", diff)
	}
}

// A 410 that comes while a person disables the endpoint does not undo what they decided.
func TestAnswerOfGoneLeavesAPersonsDisablingAsItIs(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	e, _ := w.add(t, r.URL, "reward.applied")
	w.reward(t, "a1")
	r.answers(func(answer http.ResponseWriter, _ *http.Request) {
		if err := w.registry.Disable(t.Context(), e.ID, "the shop has moved", "ada"); err != nil {
			t.Error(err)
		}
		answer.WriteHeader(http.StatusGone)
	})
	c := w.courier(t)
	round(t, c)
	w.reward(t, "b1")
	round(t, c)
	if got := w.listed(t, e.ID); got.Because != "the shop has moved (ada)" || got.Waiting != 1 {
		t.Errorf("it is listed as %+v, want it disabled by ada with a1 waiting", got)
	}
}

// A courier of a version before 00013, which may run beside this one, knows nothing of gone.
func TestAnswerOfGoneThatAnOlderCourierNotesIsOne(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	endpoint, _ := w.add(t, r.URL, "reward.applied")
	if _, err := w.DB.Pool.Exec(t.Context(), `UPDATE webhook_endpoints
		SET disabled_at = clock_timestamp(), disabled_because = 'it answered 410 Gone' WHERE id = $1 AND disabled_at IS NULL`, endpoint.ID); err != nil {
		t.Fatal(err)
	}
	c := w.courier(t)
	w.reward(t, "a1") // decided while it is disabled
	round(t, c)
	if err := w.registry.Enable(t.Context(), endpoint.ID); err != nil {
		t.Fatal(err)
	}
	round(t, c)
	if got := len(r.take()); got != 1 {
		t.Errorf("%d messages arrived once it was enabled, want the one of its absence", got)
	}
}
