package intake_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// stream is a stream of requests under way.
type stream struct {
	lines   io.WriteCloser
	answers *json.Decoder
}

// openStream begins a stream of recharges.
func (d door) openStream(t *testing.T) stream {
	t.Helper()
	body, lines := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+bulkRecharges, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson; charset=utf-8")
	response, err := accesstest.Client(d.token).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("answer %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	return stream{lines: lines, answers: json.NewDecoder(response.Body)}
}

func (s stream) write(t *testing.T, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(s.lines, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// next is the next answer.
func (s stream) next(t *testing.T) intake.ItemAnswer {
	t.Helper()
	var answer intake.ItemAnswer
	if err := s.answers.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// ended fails the test unless there is no further answer.
func (s stream) ended(t *testing.T) {
	t.Helper()
	var more json.RawMessage
	if err := s.answers.Decode(&more); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %s, %v", more, err)
	}
}

func TestStreamAnswersEachLineBeforeTheNextIsSent(t *testing.T) {
	t.Parallel()
	d := open(t)
	s := d.openStream(t)
	for i, want := range []struct {
		line   string
		answer intake.ItemAnswer
	}{
		{recharge("rc1", "u1", "5.00"), intake.ItemAnswer{Line: 1, Status: "accepted", Key: "rc1"}},
		{"\n  \n" + recharge("rc1", "u1", "5"), intake.ItemAnswer{Line: 4, Status: "replayed", Key: "rc1"}},
		{recharge("rc1", "u2", "5"), intake.ItemAnswer{Line: 5, Status: "conflict", Key: "rc1",
			Fields: []tasks.Diff{{Field: "user_id", Stored: `"u1"`, Asked: `"u2"`}}}},
		{recharge("rc2", "u1", "0.001"), intake.ItemAnswer{Line: 6, Status: "refused"}},
		{strings.Repeat("x", 2*tasks.PayloadBytesMax), intake.ItemAnswer{Line: 7, Status: "refused"}},
		{"\xff", intake.ItemAnswer{Line: 8, Status: "refused"}},
		{recharge("rc3", "u1", "1.00"), intake.ItemAnswer{Line: 9, Status: "accepted", Key: "rc3"}},
	} {
		s.write(t, want.line)
		if diff := cmp.Diff(want.answer, s.next(t), asAnswers); diff != "" {
			t.Fatalf("answer %d (-want +got):\n%s", i, diff)
		}
	}
	if err := s.lines.Close(); err != nil {
		t.Fatal(err)
	}
	s.ended(t)
	if stored := d.stored(t); stored != 2 {
		t.Errorf("%d requests stored, want 2", stored)
	}
}

func TestStreamTakesMoreThanAList(t *testing.T) {
	t.Parallel()
	d := open(t)
	s := d.openStream(t)
	items := manyRecharges(intake.ListMax + 7)
	items[intake.ListMax] = items[0]
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(s.lines, strings.Join(items, "\n")) // the last line has no end
		written <- errors.Join(err, s.lines.Close())
	}()
	for i := range items {
		want := intake.ItemAnswer{Line: i + 1, Status: "accepted", Key: fmt.Sprintf("rc%05d", i)}
		if i == intake.ListMax {
			want.Status, want.Key = "replayed", "rc00000"
		}
		if diff := cmp.Diff(want, s.next(t), asAnswers); diff != "" {
			t.Fatalf("line %d (-want +got):\n%s", i+1, diff)
		}
	}
	s.ended(t)
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// stuckClient is a connection whose client reads nothing: the first answer is never taken.
type stuckClient struct {
	http.ResponseWriter
	once   sync.Once
	stuck  chan struct{} // closed when an answer waits
	unwind chan struct{} // closed to let it fail
}

func (c *stuckClient) Write([]byte) (int, error) {
	c.once.Do(func() { close(c.stuck) })
	<-c.unwind
	return 0, io.ErrClosedPipe
}

// endless is a body of recharges without end. It counts what was read of it.
type endless struct {
	made, read int
	rest       []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = []byte(recharge(fmt.Sprintf("rc%d", e.made), "u1", "1.00") + "\n")
		e.made++
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	e.read += n
	return n, nil
}

func (e *endless) Close() error { return nil }

func TestStreamReadsNoFurtherThanItsClientDoes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	books := ledgertest.OpenOn(t, db)
	api := intake.NewAPI(intake.Config{Client: books.Client, Reader: books.Reader, Access: accesstest.Guard(t, db),
		Recharges: rechargeOrders(books)})
	body := &endless{}
	call := httptest.NewRequestWithContext(t.Context(), http.MethodPost, bulkRecharges, nil)
	call.Body = body
	call.Header.Set("Content-Type", "application/x-ndjson")
	call.Header.Set("Authorization", "Bearer "+accesstest.Key(t, db, "shop", access.RechargesWrite))
	client := &stuckClient{ResponseWriter: httptest.NewRecorder(), stuck: make(chan struct{}), unwind: make(chan struct{})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		api.ServeHTTP(client, call)
	}()
	<-client.stuck
	close(client.unwind)
	<-served
	// One chunk was to be answered, one waited, and one was being read; the reader itself reads a little ahead.
	if most := 3*intake.ChunkMax*200 + 2*256<<10; body.read > most {
		t.Errorf("%d bytes were read for a client that reads nothing, want at most %d", body.read, most)
	}
}

func TestStreamIsSlowedDownToItsKeysRate(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	manual := clock.NewManual(ledgertest.Noon)
	d := door{Books: ledgertest.OpenOn(t, db), token: accesstest.Key(t, db, "shop", access.RechargesWrite)}
	server := httptest.NewServer(intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Clock: manual, Recharges: rechargeOrders(d.Books),
		Access: access.NewGuard(access.Config{Pool: db.Pool, Rate: 1, Burst: 3, Clock: manual})}))
	t.Cleanup(server.Close)
	d.url = server.URL
	s := d.openStream(t)
	items := manyRecharges(26)
	s.write(t, items[:3]...)
	for range 3 {
		if answer := s.next(t); answer.Status != "accepted" {
			t.Fatalf("within the burst: %+v", answer)
		}
	}
	s.write(t, items[3:5]...)
	if err := manual.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	manual.Advance(2 * time.Second)
	for range 2 {
		if answer := s.next(t); answer.Status != "accepted" {
			t.Fatalf("after two seconds: %+v", answer)
		}
	}
	s.write(t, items[5:]...) // 21 items, which leave a debt
	if err := manual.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	manual.Advance(3 * time.Second)
	for range 21 {
		if answer := s.next(t); answer.Status != "accepted" {
			t.Fatalf("a chunk above the burst: %+v", answer)
		}
	}
	s.write(t, recharge("late", "u1", "1.00"))
	stopped := s.next(t)
	if stopped.Line != 27 || stopped.Status != "stopped" || stopped.Problem == nil || stopped.Problem.Status != http.StatusTooManyRequests {
		t.Errorf("a line that would wait for too long: %+v", stopped)
	}
	s.ended(t)
	if stored := d.stored(t); stored != 26 {
		t.Errorf("%d requests stored, want 26", stored)
	}
}

func TestStreamThatIsCutOffKeepsItsWholeLines(t *testing.T) {
	t.Parallel()
	d := open(t)
	at, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	whole, cut := recharge("rc1", "u1", "1.00")+"\n", recharge("rc2", "u1", "1.00")
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\n"+
		"Content-Length: %d\r\n\r\n%s%s", bulkRecharges, d.token, len(whole)+len(cut)+1, whole, cut)
	if err != nil {
		t.Fatal(err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("connection is %T", conn)
	}
	if err := tcp.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	s := stream{answers: json.NewDecoder(response.Body)}
	if answer := s.next(t); answer.Status != "accepted" {
		t.Errorf("the whole line: %+v", answer)
	}
	if answer := s.next(t); answer.Line != 2 || answer.Status != "stopped" || answer.Problem.Status != http.StatusBadRequest {
		t.Errorf("the line that was cut off: %+v", answer)
	}
	s.ended(t)
	if stored := d.stored(t); stored != 1 {
		t.Errorf("%d requests stored, want 1", stored)
	}
}

func TestStreamSaysFromWhichLineItIsUnknown(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	d := openOn(t, db)
	s := d.openStream(t)
	s.write(t, recharge("rc1", "u1", "1.00"))
	if answer := s.next(t); answer.Status != "accepted" {
		t.Fatalf("answer %+v", answer)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	s.write(t, recharge("rc2", "u1", "1.00"), recharge("rc3", "u1", "1.00"))
	if answer := s.next(t); answer.Line != 2 || answer.Status != "stopped" || answer.Problem.Status != http.StatusServiceUnavailable ||
		!strings.Contains(answer.Problem.Detail, "send them again") {
		t.Errorf("answer %+v", answer)
	}
	s.ended(t)
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
}

func TestProcessThatEndsStopsItsStreamsBetweenTwoLines(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	d := door{Books: ledgertest.OpenOn(t, db), token: accesstest.Key(t, db, "shop", access.RechargesWrite)}
	api := intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Access: accesstest.Guard(t, db),
		Recharges: rechargeOrders(d.Books)})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	d.url = server.URL
	s := d.openStream(t)
	s.write(t, recharge("rc1", "u1", "1.00"))
	if answer := s.next(t); answer.Status != "accepted" {
		t.Fatalf("answer %+v", answer)
	}
	api.Drain()
	api.Drain()
	if answer := s.next(t); answer.Line != 2 || answer.Status != "stopped" || answer.Problem.Status != http.StatusServiceUnavailable {
		t.Errorf("answer %+v", answer)
	}
	s.ended(t)
}
