package notice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

func body(t *testing.T, said words) io.Reader {
	t.Helper()
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(text)
}

func (d *door) stored(t *testing.T) int {
	t.Helper()
	return d.count(t, "SELECT count(*) FROM requests")
}

func TestMessageThatIsNoNoticeIsNeverAcknowledged(t *testing.T) {
	t.Parallel()
	d := open(t)
	n := paid(d.order(t, "rc1", "u1"), "t1")
	want := map[string]int{"malformed": 3}
	for problem := range problems {
		want[problem]++
		if answer := d.send(t.Context(), "wechat", nil, body(t, words{problem, n})); answer.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: answered %d", problem, answer.Code)
		}
	}
	for name, raw := range map[string]io.Reader{
		"nothing":      strings.NewReader(""),
		"a large body": io.MultiReader(body(t, words{Notice: n}), strings.NewReader(strings.Repeat(" ", notice.BodyBytesMax))),
		"a cut body":   io.MultiReader(body(t, words{Notice: n}), iotest.ErrReader(errors.New("connection lost"))),
	} {
		if answer := d.send(t.Context(), "wechat", nil, raw); answer.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: answered %d", name, answer.Code)
		}
	}
	d.expectCounted(t, want)
	if d.stored(t) != 0 {
		t.Error("something is stored")
	}
	largest := io.MultiReader(body(t, words{Notice: n}), strings.NewReader(strings.Repeat(" ", notice.BodyBytesMax-2048)))
	if answer := d.send(t.Context(), "wechat", nil, largest); answer.Code != http.StatusOK {
		t.Errorf("a body that is just small enough: answered %d", answer.Code)
	}
}

// slow is a body of which nothing comes until it is cut off.
type slow struct{ begun, cut chan struct{} }

// Read implements io.Reader.
func (s slow) Read([]byte) (int, error) {
	s.begun <- struct{}{}
	<-s.cut
	return 0, os.ErrDeadlineExceeded
}

// Anybody can open connections and say nothing on them.
func TestSlowSendersKeepNoNoticeOut(t *testing.T) {
	t.Parallel()
	d := open(t)
	order := d.order(t, "rc1", "u1")
	sender := slow{begun: make(chan struct{}), cut: make(chan struct{})}
	var sending sync.WaitGroup
	for range notice.NoticesMax {
		sending.Go(func() {
			if answer := d.send(t.Context(), "wechat", nil, sender); answer.Code != http.StatusServiceUnavailable {
				t.Errorf("a body that never came: answered %d", answer.Code)
			}
		})
	}
	for range notice.NoticesMax {
		<-sender.begun
	}
	d.done(t, paid(order, "t1"))
	close(sender.cut)
	sending.Wait()
	d.expectCounted(t, map[string]int{"confirmed": 1, "malformed": notice.NoticesMax})
	d.expect(t, map[ledger.AccountName]string{cash: "100.00"})
}

// stalled is a body that is larger than a usual notice, and of which the rest does not come until it is cut off.
type stalled struct {
	sent        io.Reader
	begun       chan<- struct{} // takes one for each reader that waits for the rest
	cut         <-chan struct{}
	now, atMost *atomic.Int64
}

// Read implements io.Reader.
func (s *stalled) Read(p []byte) (int, error) {
	if n, err := s.sent.Read(p); err == nil {
		return n, nil
	}
	defer s.now.Add(-1)
	for reading := s.now.Add(1); ; {
		if most := s.atMost.Load(); reading <= most || s.atMost.CompareAndSwap(most, reading) {
			break
		}
	}
	s.begun <- struct{}{}
	<-s.cut
	return 0, os.ErrDeadlineExceeded
}

// Anybody can send as much as makes a body a large one, and then nothing.
func TestSlowSendersOfLargeBodiesKeepNoUsualNoticeOut(t *testing.T) {
	t.Parallel()
	d := open(t)
	order := d.order(t, "rc1", "u1")
	begun, cut := make(chan struct{}, 2*notice.NoticesMax), make(chan struct{})
	var now, atMost atomic.Int64
	var sending sync.WaitGroup
	for range 2 * notice.NoticesMax {
		sender := &stalled{sent: strings.NewReader(strings.Repeat(" ", notice.UsualBytes+1)), begun: begun, cut: cut, now: &now, atMost: &atMost}
		sending.Go(func() {
			if answer := d.send(t.Context(), "wechat", nil, sender); answer.Code != http.StatusServiceUnavailable {
				t.Errorf("a large body that never came: answered %d", answer.Code)
			}
		})
	}
	for range notice.LargeMax {
		<-begun
	}
	d.done(t, paid(order, "t1"))
	close(cut)
	sending.Wait()
	if atMost.Load() != notice.LargeMax {
		t.Errorf("%d large bodies are read at once, want %d", atMost.Load(), notice.LargeMax)
	}
	counted := d.counted(t)
	if counted["confirmed"] != 1 || counted["malformed"]+counted["unavailable"] != 2*notice.NoticesMax {
		t.Errorf("counted %v", counted)
	}
	large := io.MultiReader(body(t, words{Notice: paid(order, "t1")}), strings.NewReader(strings.Repeat(" ", notice.UsualBytes)))
	if answer := d.send(t.Context(), "wechat", nil, large); answer.Code != http.StatusOK {
		t.Errorf("a large notice afterwards: answered %d", answer.Code)
	}
	d.expect(t, map[ledger.AccountName]string{cash: "100.00"})
}

// It takes as long as a sender is given.
func TestSenderWhoStopsIsAnsweredAndCutOff(t *testing.T) {
	t.Parallel()
	d := open(t)
	server := httptest.NewServer(d.mux)
	t.Cleanup(server.Close)
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(clock.System.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(connection, "POST /v1/notices/wechat HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(connection) // to the connection's end
	if err != nil || !bytes.HasPrefix(said, []byte("HTTP/1.1 503 ")) {
		t.Errorf("%v; answered %q", err, said)
	}
	d.expectCounted(t, map[string]int{"malformed": 1})
}

// broken panics where it is told to.
type broken struct {
	plain
	inReply bool
}

// Reply implements channel.Port.
func (b broken) Reply(problem error, now time.Time) channel.Reply {
	if b.inReply {
		panic("the port has a bug")
	}
	return b.plain.Reply(problem, now)
}

func TestPanicIsNeverAcknowledged(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.ports[tasks.SourceAlipay] = broken{inReply: true}
	n := paid(d.order(t, "rc1", "u1"), "t1")
	if answer := d.send(t.Context(), "wechat", nil, body(t, words{"panic", n})); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("in the reading: answered %d", answer.Code)
	}
	if answer := d.send(t.Context(), "alipay", nil, body(t, words{"", n})); answer.Code != http.StatusInternalServerError || answer.Body.Len() > 0 {
		t.Errorf("in the wording: answered %d %s", answer.Code, answer.Body)
	}
	d.expectCounted(t, map[string]int{"failed": 2})
}

func TestChannelThatIsNotConfiguredIsNotFound(t *testing.T) {
	t.Parallel()
	d := open(t)
	delete(d.ports, tasks.SourceECNY)
	for _, path := range []string{"ecny", "paypal", "cash", "WeChat", "%00", "..%2Fwechat"} {
		answer := d.send(t.Context(), path, nil, body(t, words{}))
		var problem struct {
			Status int
			Type   string
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil || answer.Code != http.StatusNotFound ||
			problem.Status != http.StatusNotFound || problem.Type != "urn:settled:problem:not-found" ||
			answer.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: answered %d %s", path, answer.Code, answer.Body)
		}
	}
	d.expectCounted(t, map[string]int{"no_channel": 6})
	get := httptest.NewRecorder()
	d.mux.ServeHTTP(get, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/notices/wechat", nil))
	if get.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: answered %d", get.Code)
	}
}

// Whatever PostgreSQL's end interrupts, the channel comes again and finds the door as it left it.
func TestChannelComesAgainWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	d := openOn(t, db)
	order, sent := d.order(t, "rc1", "u1"), d.sent(t)
	notices := []channel.Notice{paid(order, "t2"), ended(sent, succeeded)}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		if d.tell(t, n) {
			t.Errorf("%s is acknowledged", n.Event)
		}
	}
	d.expectCounted(t, map[string]int{"unavailable": 2})
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		d.done(t, n)
	}
	d.expect(t, map[ledger.AccountName]string{cash: "100.00", refunding: "0.00", suspense: "0.00"})
}

// A PostgreSQL that hangs lets the channel wait no longer than it wants; the acceptance that is under way counts when it comes through.
// waitingForPendingSQL counts who waits for the table. Databases that are cloned from one template have the same numbers for their tables.
const waitingForPendingSQL = `
SELECT count(*)
FROM pg_locks
WHERE NOT granted AND relation = 'pending'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

func TestChannelComesAgainWhenPostgresIsTooSlow(t *testing.T) {
	t.Parallel()
	d := open(t)
	n := paid(d.order(t, "rc1", "u1"), "t1")
	said := body(t, words{Notice: n})
	tx, err := d.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE pending IN EXCLUSIVE MODE"); err != nil { // inserts wait, look-ups do not
		t.Fatal(err)
	}
	ctx, givesUp := context.WithCancel(t.Context())
	answered := make(chan int, 1)
	go func() { answered <- d.send(ctx, "wechat", nil, said).Code }()
	for d.count(t, waitingForPendingSQL) == 0 {
		if len(answered) > 0 {
			t.Fatal("answered before anything waits")
		}
	}
	givesUp()
	if status := <-answered; status != http.StatusServiceUnavailable {
		t.Errorf("answered %d", status)
	}
	d.expectCounted(t, map[string]int{"unavailable": 1})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.done(t, n)
	// Whether the insert that was given up was committed all the same, nobody can know.
	if counted := d.counted(t); counted["unavailable"] != 1 || counted["replayed"]+counted["confirmed"] != 1 {
		t.Errorf("counted %v", counted)
	}
	d.expect(t, map[ledger.AccountName]string{cash: "100.00"})
}

func TestChannelComesAgainWhenTheProcessEnds(t *testing.T) {
	t.Parallel()
	d := open(t)
	n := paid(d.order(t, "rc1", "u1"), "t1")
	client, err := tasks.NewClient(t.Context(), d.DB.Pool, nil, tasks.ClientConfig{Producer: "api"})
	if err != nil {
		t.Fatal(err)
	}
	d.client = client
	d.restart()
	client.Close()
	if d.tell(t, n) {
		t.Error("acknowledged")
	}
	d.expectCounted(t, map[string]int{"unavailable": 1})
}

func TestMetricsOfNoticesAreNamedWellAndThereFromTheStart(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	notice.NewHandler(notice.Config{Registerer: registry})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for name, want := range map[string]int{"settled_intake_notices_total": 4*18 + 1, "settled_intake_notice_seconds": 4} {
		if got, err := testutil.GatherAndCount(registry, name); err != nil || got != want {
			t.Errorf("%s has %d series (%v), want %d", name, got, err, want)
		}
	}
}
