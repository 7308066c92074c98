package webhook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// deliverOne delivers one message to an endpoint, and returns what is stored of it.
func deliverOne(t *testing.T, w *world, url string, timeout time.Duration) Sent {
	t.Helper()
	e, _ := w.add(t, url, "reward.applied")
	w.rewards(t, "w", 1)
	c := w.courier(t)
	c.client = Guard{AllowPrivate: true}.client(timeout)
	round(t, c)
	return w.messages(t, e)[0]
}

func TestFailuresAreToldInOurOwnWords(t *testing.T) {
	t.Parallel()
	tlsServer := httptest.NewUnstartedServer(answering(http.StatusOK))
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	plain := httptest.NewServer(answering(http.StatusOK))
	t.Cleanup(plain.Close)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that the client leaves
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	closed := httptest.NewServer(answering(http.StatusOK))
	closed.Close()
	for name, c := range map[string]struct {
		url     string
		timeout time.Duration
		problem string
	}{
		"unknown certificate": {tlsServer.URL, attemptTimeout, "its certificate is not trusted"},
		"no TLS":              {strings.Replace(plain.URL, "http:", "https:", 1), attemptTimeout, "TLS failed"},
		"hangs":               {hangs.URL, 50 * time.Millisecond, "it did not answer in time"},
		"closed":              {closed.URL, attemptTimeout, "the connection was refused"},
		"no such host":        {"http://no-such-host.invalid/", attemptTimeout, "its host "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m := deliverOne(t, newWorld(t), c.url+"?token=s3cr3t", c.timeout); m.State != Waiting || m.Status != 0 || !strings.HasPrefix(m.Problem, c.problem) {
				t.Errorf("message %+v, want that %s", m, c.problem)
			}
		})
	}
}

// rawServer answers the first request of every connection with the same bytes, and hangs up.
func rawServer(t *testing.T, answer []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				_, _ = conn.Write(answer)
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// H8: what an endpoint writes reaches neither table nor log, and cannot keep its own failure from being stored.
func TestWhatAnEndpointWritesIsNotKept(t *testing.T) {
	t.Parallel()
	const mark = "s3cr3t"
	for name, c := range map[string]struct {
		answer string
		want   Sent
	}{
		"status text": {"HTTP/1.1 500 " + mark + "\x00\xff\r\nContent-Length: 0\r\n\r\n", Sent{Status: 500, Problem: "it answered 500"}},
		"no HTTP":     {mark + "\x00\xff\r\n\r\n", Sent{Problem: "the connection failed"}},
		"body":        {"HTTP/1.1 400 No\r\nContent-Length: 8\r\n\r\n" + mark + "\x00\xff", Sent{Status: 400, Problem: "it answered 400"}},
		"header without end": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat(mark, 100_000) + "\r\n\r\n",
			Sent{Problem: "the connection failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := deliverOne(t, w, rawServer(t, []byte(c.answer)), attemptTimeout)
			if m.State != Waiting || m.Status != c.want.Status || m.Problem != c.want.Problem {
				t.Errorf("message %+v, want %+v", m, c.want)
			}
			if text := fmt.Sprint(m, w.log); strings.Contains(text, mark) {
				t.Errorf("kept: %.300s", text)
			}
		})
	}
}

// An answer without an end is a success by its status, and is not read to its end.
func TestAnswerIsReadUpToALimit(t *testing.T) {
	t.Parallel()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 4<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	if m := deliverOne(t, newWorld(t), endless.URL, attemptTimeout); m.State != Delivered || m.Status != http.StatusOK {
		t.Errorf("message %+v", m)
	}
}

func TestSecretsAreHiddenInEveryForm(t *testing.T) {
	t.Parallel()
	secret := newSecret()
	told := fmt.Sprintf("%v %+v %#v %s %v", secret, struct{ S Secret }{secret}, secret, secret, []Secret{secret})
	written, err := json.Marshal(map[string]any{"secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{secret.Reveal(), string(secret), fmt.Sprint([]byte(secret)), secret.Reveal()[len(secretPrefix):]} {
		if strings.Contains(told+string(written), part) {
			t.Errorf("%q shows %q", told+string(written), part)
		}
	}
}

func TestMetricsFollowTheNamingRulesAndExistFromTheStart(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	NewCourier(Config{Registerer: registry})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 8 {
		t.Errorf("%d series exist from the start, %v; want 8", n, err)
	}
}

func TestBacklogCountsWhatWaitsAndWhatIsNotGatheredYet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.courier(t)
	counts := func() [3]float64 {
		w.clock.Advance(countEvery)
		if err := c.count(t.Context()); err != nil {
			t.Fatal(err)
		}
		return [3]float64{testutil.ToFloat64(c.metrics.oldest), testutil.ToFloat64(c.metrics.waiting), testutil.ToFloat64(c.metrics.dead)}
	}
	w.rewards(t, "before", 3)
	if got := counts(); got != [3]float64{} {
		t.Errorf("without an endpoint: %v", got)
	}
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	if got := counts(); got != [3]float64{} {
		t.Errorf("before anything is decided: %v", got)
	}
	w.rewards(t, "w", 5)
	if got := counts(); got[0] <= 0 || got[1] != 0 {
		t.Errorf("before it is gathered: %v, want an age and no message", got)
	}
	w.gatherAll(t)
	w.exec(t, "UPDATE webhook_messages SET created_at = created_at - interval '1 hour' WHERE sequence = 4")
	w.exec(t, "UPDATE webhook_messages SET state = 'dead', ended_at = now() WHERE sequence < 3")
	if got := counts(); got[0] < 3600 || got[0] > 3700 || got[1] != 3 || got[2] != 2 {
		t.Errorf("%v, want an hour, 3 and 2", got)
	}
	if err := w.registry.Disable(t.Context(), e.ID, "by the test", "ada"); err != nil {
		t.Fatal(err)
	}
	if got := counts(); got != [3]float64{} {
		t.Errorf("of a disabled endpoint: %v", got)
	}
}
