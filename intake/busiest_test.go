package intake_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/tasks"
)

// TestUsualCallsAreAnsweredAsNetHTTPAnswersThem asks one API by both ways. Whoever asks second gets a replay of what the first asked.
func TestUsualCallsAreAnsweredAsNetHTTPAnswersThem(t *testing.T) {
	t.Parallel()
	d := open(t)
	slow := httptest.NewServer(d.api)
	defer slow.Close()
	reader := accesstest.Key(t, d.DB, "reader", access.Read)
	path := "/v1/requests/" + string(tasks.RechargeConfirm)
	ours, theirs := dial(t, strings.TrimPrefix(d.url, "http://")), dial(t, slow.Listener.Addr().String())
	for name, call := range map[string]string{
		"replayed":            raw(path, d.token, "application/json", recharge("rc1", "u1", "1.00")),
		"a conflict":          raw(path, d.token, "application/json", recharge("rc1", "u1", "2.00")),
		"a field refused":     raw(path, d.token, "application/json", recharge("rc2", "u1", "1e-30")),
		"no JSON":             raw(path, d.token, "application/json", "{"),
		"an empty body":       raw(path, d.token, "application/json", ""),
		"another media type":  raw(path, d.token, "text/plain", recharge("rc2", "u1", "1.00")),
		"no key":              strings.Replace(raw(path, "", "application/json", "{}"), "Authorization: Bearer \r\n", "", 1),
		"a wrong key":         raw(path, "sk_wrong", "application/json", "{}"),
		"a key without scope": raw(path, reader, "application/json", recharge("rc2", "u1", "1.00")),
		"a large field":       raw(path, d.token, "application/json", recharge("rc2", strings.Repeat("u", 5000), "1.00")),
	} {
		dial(t, slow.Listener.Addr().String()).ask(raw(path, d.token, "application/json", recharge("rc1", "u1", "1.00")))
		if diff := cmp.Diff(theirs.ask(call), ours.ask(call)); diff != "" {
			t.Errorf("%s is answered otherwise (-net/http +express):\n%s", name, diff)
		}
	}
}

func raw(path, token, contentType, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: settled.example\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, token, contentType, len(body), body)
}

// wire is a connection on which calls are written by hand.
type wire struct {
	t       *testing.T
	conn    net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, addr string) wire {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return wire{t, conn, bufio.NewReader(conn)}
}

// wireAnswer is what must not depend on the way. A body's length may be told by chunks.
type wireAnswer struct {
	Status string
	Header http.Header
	Body   string
	Close  bool
}

func (w wire) ask(call string) wireAnswer {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, call); err != nil {
		w.t.Fatal(err)
	}
	r, err := http.ReadResponse(w.answers, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, varies := range []string{"Date", "Content-Length"} {
		r.Header.Del(varies)
	}
	return wireAnswer{r.Status, r.Header, string(body), r.Close}
}

func TestConnectionEndsAfterACallWhoseLengthHasTwoReadings(t *testing.T) {
	t.Parallel()
	d := open(t)
	body := recharge("rc1", "u1", "1.00")
	for _, path := range []string{"/v1/requests/recharge:confirm", "/v1/recharge-orders"} {
		got := dial(t, strings.TrimPrefix(d.url, "http://")).ask(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
			path, d.token, len(body), body))
		if !got.Close {
			t.Errorf("%s: the connection stays open after %s", path, got.Status)
		}
	}
}
