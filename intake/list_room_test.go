package intake_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// slowBody is a body that has begun to be read, and of which nothing comes until it is cut off.
type slowBody struct {
	begun, cut chan struct{}
}

func (s slowBody) Read([]byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	case <-s.cut:
	}
	<-s.cut
	return 0, fmt.Errorf("cut off")
}

func (slowBody) Close() error { return nil }

// slowLists is an API by a manual clock to which lists can be sent that do not come to their end.
type slowLists struct {
	api    *intake.API
	clock  *clock.Manual
	body   slowBody
	served chan int
}

func openSlowLists(t *testing.T) (*slowLists, door) {
	t.Helper()
	db := pgtest.New(t)
	d := door{Books: ledgertest.OpenOn(t, db)}
	manual := clock.NewManual(ledgertest.Noon)
	s := &slowLists{clock: manual, body: slowBody{begun: make(chan struct{}), cut: make(chan struct{})}, served: make(chan int, 64)}
	s.api = intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Access: accesstest.Guard(t, db), Clock: manual,
		Recharges: rechargeOrders(d.Books)})
	return s, d
}

func (s *slowLists) list(t *testing.T, token string) *http.Request {
	t.Helper()
	call := httptest.NewRequestWithContext(t.Context(), http.MethodPost, bulkRecharges, nil)
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Authorization", "Bearer "+token)
	return call
}

// send sends a list that does not come to its end, and returns once it is being read.
func (s *slowLists) send(t *testing.T, token string) {
	t.Helper()
	call := s.list(t, token)
	call.Body, call.ContentLength = s.body, -1
	go func() {
		recorder := httptest.NewRecorder()
		s.api.ServeHTTP(recorder, call)
		s.served <- recorder.Code
	}()
	select {
	case <-s.body.begun:
	case status := <-s.served:
		t.Fatalf("a list that is not there yet was answered %d", status)
	}
}

// ask sends a list that is there, and lets time pass until it is answered.
func (s *slowLists) ask(t *testing.T, token, id string) *httptest.ResponseRecorder {
	t.Helper()
	call := s.list(t, token)
	whole := httptest.NewRequestWithContext(t.Context(), http.MethodPost, bulkRecharges, listOf(recharge(id, "u1", "1.00")))
	call.Body, call.ContentLength = whole.Body, whole.ContentLength
	recorder, served := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(served)
		s.api.ServeHTTP(recorder, call)
	}()
	for {
		select {
		case <-served:
			if left, err := io.Copy(io.Discard, whole.Body); left > 0 || err != nil {
				t.Errorf("answered %d while %d bytes were still to come: a client that sends them does not read it", recorder.Code, left)
			}
			return recorder
		default:
			s.clock.Advance(time.Second) // a list that waits for room is late at some time
			runtime.Gosched()
		}
	}
}

func TestSlowListsOfOneKeyKeepNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	s, d := openSlowLists(t)
	slow, other := accesstest.Key(t, d.DB, "shop", access.RechargesWrite), accesstest.Key(t, d.DB, "other", access.RechargesWrite)
	for range intake.ListsOfKey {
		s.send(t, slow)
	}
	var problem intake.Problem
	got := s.ask(t, slow, "rc1")
	answer{got.Code, got.Header(), got.Body.Bytes()}.decode(t, &problem)
	if got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") == "" || !strings.Contains(problem.Detail, "nothing was done") {
		t.Errorf("one more list of the slow key: %d %s", got.Code, got.Body)
	}
	if got := s.ask(t, other, "rc2"); got.Code != http.StatusOK {
		t.Errorf("a list of another key: %d %s", got.Code, got.Body)
	}
	close(s.body.cut)
	for range intake.ListsOfKey {
		if status := <-s.served; status != http.StatusBadRequest {
			t.Errorf("a list that was cut off: %d", status)
		}
	}
	if got := s.ask(t, slow, "rc3"); got.Code != http.StatusOK {
		t.Errorf("a list of the slow key once the others have ended: %d %s", got.Code, got.Body)
	}
}

func TestListsInMemoryAreBoundedAndWhoFindsNoRoomIsNotToldOfPostgres(t *testing.T) {
	t.Parallel()
	s, d := openSlowLists(t)
	for i := range intake.ListsInMemory / intake.ListsOfKey {
		key := accesstest.Key(t, d.DB, fmt.Sprintf("shop%d", i), access.RechargesWrite)
		for range intake.ListsOfKey {
			s.send(t, key)
		}
	}
	var problem intake.Problem
	got := s.ask(t, accesstest.Key(t, d.DB, "other", access.RechargesWrite), "rc1")
	answer{got.Code, got.Header(), got.Body.Bytes()}.decode(t, &problem)
	if got.Code != http.StatusServiceUnavailable || problem.Type != "urn:settled:problem:busy" || strings.Contains(problem.Title, "books") ||
		got.Header().Get("Retry-After") == "" {
		t.Errorf("a list too many: %d %s", got.Code, got.Body)
	}
	close(s.body.cut)
}
