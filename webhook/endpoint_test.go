package webhook

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestEndpointIsMadeOnceHoweverManyAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.registry.Pool = w.DB.Pool // as the API does
	asked := NewEndpoint{Producer: producer, URL: "https://192.0.32.7/hook", Events: []Event{"reward.applied", "refund.applied"}, By: "key 1"}
	var asking sync.WaitGroup
	var mu sync.Mutex
	ids, secrets := map[string]bool{}, 0
	for range 8 {
		asking.Go(func() {
			e, secret, err := w.registry.AddOnce(t.Context(), asked)
			mu.Lock()
			defer mu.Unlock()
			if ids[e.ID] = true; err != nil {
				t.Error(err)
			}
			if secret != nil {
				secrets++
			}
		})
	}
	asking.Wait()
	if len(ids) != 1 || secrets != 1 {
		t.Errorf("%d endpoints, %d secrets", len(ids), secrets)
	}
	asked.Events = asked.Events[:1]
	if e, secret, err := w.registry.AddOnce(t.Context(), asked); err != nil || ids[e.ID] || secret == nil {
		t.Errorf("of fewer events: %+v, %v", e, err)
	}
}

func TestNoProducerMakesMoreEndpointsThanItMayHoweverManyAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.registry.Pool = w.DB.Pool
	for i := range EndpointsMax - 1 {
		w.add(t, fmt.Sprintf("https://192.0.32.7/%d", i), "reward.applied")
	}
	var asking sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 6 {
		asking.Go(func() {
			_, _, err := w.registry.AddOnce(t.Context(), NewEndpoint{Producer: producer, URL: fmt.Sprintf("https://192.0.32.7/more/%d", i),
				Events: []Event{"reward.applied"}, By: "key 1"})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, ErrTooManyEndpoints) {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if made != 1 {
		t.Errorf("%d were made, want the last one", made)
	}
}

func TestEndpointTellsHowFarItHasComeAndWhatWentWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "https://192.0.32.7/hook", "reward.applied")
	find := func() Endpoint {
		t.Helper()
		found, err := w.registry.Find(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := find(); found.DeliveredTo != 0 || found.State != EndpointEnabled || found.Problem != "" {
		t.Errorf("before anything: %+v", found)
	}
	w.rewards(t, "w", 6)
	w.gatherAll(t)
	end := func(state State, problem string, sequences ...int64) {
		t.Helper()
		w.exec(t, `UPDATE webhook_messages SET state = $1, last_problem = nullif($2, ''), ended_at = CASE WHEN $1 = 'waiting' THEN NULL ELSE now() END
			WHERE sequence = ANY ($3)`, state, problem, sequences)
	}
	for _, c := range []struct {
		what          string
		then          func()
		to, wait, die int64
		problem       string
	}{
		{"all wait", func() {}, 0, 6, 0, ""},
		{"the first two are delivered, and the fifth", func() { end(Delivered, "", 1, 2, 5) }, 2, 3, 0, ""},
		{"the third is dead", func() { end(Dead, "it answered 500", 3) }, 2, 2, 1, "it answered 500"},
		{"the fourth was tried", func() { end(Waiting, "the connection was refused", 4) }, 2, 2, 1, "the connection was refused"},
		{"nothing waits", func() { end(Delivered, "", 4, 6) }, 2, 0, 1, "it answered 500"},
		{"all is delivered", func() { end(Delivered, "", 3) }, 6, 0, 0, ""},
	} {
		c.then()
		if found := find(); found.DeliveredTo != c.to || found.Waiting != c.wait || found.Dead != c.die || found.Problem != c.problem {
			t.Errorf("%s: %+v", c.what, found)
		}
	}
	end(Dead, "it answered 500", 1, 2, 3)
	if page, err := w.registry.EndpointPage(t.Context(), EndpointQuery{Limit: 1, CountMax: 2}); err != nil || page[0].Dead != 2 {
		t.Errorf("counted to two: %+v, %v", page, err)
	}
	if err := w.registry.Disable(t.Context(), e.ID, "x", "ada"); err != nil || find().State != EndpointDisabled {
		t.Errorf("%v, %+v", err, find())
	}
	w.exec(t, "UPDATE webhook_endpoints SET gone = true")
	if found := find(); found.State != EndpointGone {
		t.Errorf("%+v", found)
	}
	for _, id := range []string{"", "we_0", "\xff", "\x00"} {
		if _, err := w.registry.Find(t.Context(), id); !errors.Is(err, ErrNoEndpoint) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestRedeliveryGoesOnWhereItsPageEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.registry.Pool = w.DB.Pool
	e, _ := w.add(t, "https://192.0.32.7/hook", "reward.applied")
	w.rewards(t, "w", RedeliverMax+1)
	w.gatherAll(t)
	for _, c := range []struct{ from, to, count, next int64 }{
		{1, Newest, RedeliverMax, RedeliverMax + 1}, {RedeliverMax + 1, Newest, 1, 0}, {1, RedeliverMax, RedeliverMax, 0}, {2, 3, 2, 0},
	} {
		count, next, err := w.registry.RedeliverPage(t.Context(), e.ID, c.from, c.to, "")
		if err != nil || count != c.count || next != c.next {
			t.Errorf("%d to %d: %d, on from %d, %v", c.from, c.to, count, next, err)
		}
	}
}

func TestEveryEndpointIsListedHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO webhook_endpoints (id, producer, url, events, secret, created_by, told_since, created_at)
		SELECT 'we_' || n, 'p' || n % 2, 'https://shop.example', '{refund.applied}', repeat('x', 24)::bytea, 'ada', '{epoch}', 'epoch'
		FROM generate_series(1, $1::int) n`, 2*endpointsAtOnce)
	for of, want := range map[string]int{"": 2 * endpointsAtOnce, "p0": endpointsAtOnce, "nobody": 0} {
		list, err := w.registry.Endpoints(t.Context(), of)
		seen := map[string]bool{}
		for _, e := range list {
			seen[e.ID] = true
		}
		if err != nil || len(list) != want || len(seen) != want {
			t.Errorf("of %q: %d, %d of them others, %v", of, len(list), len(seen), err)
		}
	}
}
