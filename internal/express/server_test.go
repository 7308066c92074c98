package express_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/express"
)

const busy = "/v1/requests/refund:apply"

// echo answers with what it was asked, and tells whether net/http has asked: its own ResponseWriter can flush, and express's cannot.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Location", "/there\r\nX-Injected: 1")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "%s %s %s %q %q %d %s\n", r.Method, r.URL, r.RequestURI, r.Host, r.Header, r.ContentLength, body)
}

// server is a server of echo, or of another handler.
type server struct {
	addr   string
	served chan error
	*express.Server
}

func serve(t *testing.T, config *http.Server, paths ...string) *server {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, config, paths...)
}

func serveOn(t *testing.T, listener net.Listener, config *http.Server, paths ...string) *server {
	t.Helper()
	s := &server{addr: listener.Addr().String(), served: make(chan error, 1), Server: express.New(config, paths)}
	go func() { s.served <- s.Serve(context.WithoutCancel(t.Context()), listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v", err)
		}
	})
	return s
}

// line is a connection to a server.
type line struct {
	t *testing.T
	net.Conn
	answers *bufio.Reader
}

func (s *server) dial(t *testing.T) *line {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(clock.System.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &line{t: t, Conn: conn, answers: bufio.NewReader(conn)}
}

func (l *line) send(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l, text); err != nil {
		l.t.Fatal(err)
	}
}

// answer reads an answer and returns it as it came, without its date.
func (l *line) answer() string {
	l.t.Helper()
	var raw bytes.Buffer
	r, err := http.ReadResponse(bufio.NewReader(io.TeeReader(oneByOne{l.answers}, &raw)), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		l.t.Fatal(err)
	}
	return regexp.MustCompile(`Date: [^\r]+ GMT\r\n`).ReplaceAllString(raw.String(), "")
}

// oneByOne reads no byte of the next answer.
type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// ended waits until the server has closed the connection; it is false when something else came, or nothing in time.
func (l *line) ended() bool {
	_, err := l.answers.ReadByte()
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func post(path, body string, fields ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: settled.example\r\nContent-Length: %d\r\n%s\r\n%s", path, len(body),
		strings.Join(append(fields, ""), "\r\n"), body)
}

func TestUsualCallIsAnsweredAsByNetHTTP(t *testing.T) {
	t.Parallel()
	ours, theirs := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, busy), serve(t, &http.Server{Handler: http.HandlerFunc(echo)})
	mine, other := ours.dial(t), theirs.dial(t)
	for _, text := range []string{post(busy, `{"a":1}`), post(busy, "", "X-A: 1", "x-a: 2", "Accept: */*"), post(busy, strings.Repeat("b", 1000))} {
		mine.send(text)
		other.send(text)
		got, want := headSorted(mine.answer()), headSorted(other.answer())
		if got != want {
			t.Errorf("answered\n%s\nwant\n%s", got, want)
		}
	}
}

func TestHandlersOddAnswersAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]http.HandlerFunc{
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"no content":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"not modified": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"two statuses": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
		},
		"its own length":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"the wish to end": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
	} {
		config := func() *http.Server { return &http.Server{Handler: odd, ErrorLog: log.New(io.Discard, "", 0)} }
		mine, other := serve(t, config(), busy).dial(t), serve(t, config()).dial(t)
		for _, l := range []*line{mine, other} {
			l.send(post(busy, "{}"))
		}
		if got, want := headSorted(mine.answer()), headSorted(other.answer()); got != want {
			t.Errorf("%s: answered\n%s\nwant\n%s", name, got, want)
		}
		if name == "the wish to end" && !mine.ended() {
			t.Error("the connection is open after the handler asked to close it")
		}
	}
}

// headSorted puts the lines of an answer's head into an order: they have none.
func headSorted(answer string) string {
	head, body, _ := strings.Cut(answer, "\r\n\r\n")
	status, fields, _ := strings.Cut(head, "\r\n")
	lines := strings.Split(fields, "\r\n")
	slices.Sort(lines)
	return strings.Join(append(append([]string{status}, lines...), "", body), "\n")
}

func TestUnusualCallIsLeftToNetHTTPInItsPlace(t *testing.T) {
	t.Parallel()
	s := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, busy)
	l := s.dial(t)
	// All at once: what was read already must not be lost, and the answers come in the calls' order.
	l.send(post(busy, "one") + post(busy, "two") + post("/other", "three") + post(busy, "four") + post(busy, "five", "Connection: close"))
	for _, want := range []string{"one", "two", "three", "four", "five"} {
		if got := l.answer(); !strings.HasSuffix(got, want+"\n") {
			t.Fatalf("answered %q, want %s", got, want)
		}
	}
	if !l.ended() {
		t.Error("the connection is open after net/http was asked to close it")
	}
}

func TestCallMayComeByteByByte(t *testing.T) {
	t.Parallel()
	l := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, busy).dial(t)
	for _, b := range []byte(post(busy, "slow")) {
		l.send(string(b))
	}
	if got := l.answer(); !strings.HasSuffix(got, " slow\n") {
		t.Errorf("answered %q", got)
	}
}

func TestCallThatDoesNotEndIsLeftToNetHTTPsPatience(t *testing.T) {
	t.Parallel()
	l := serve(t, &http.Server{Handler: http.HandlerFunc(echo), ReadTimeout: 10 * time.Millisecond}, busy).dial(t)
	half := post(busy, "half")
	l.send(half[:len(half)-2])
	if got := l.answer(); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("answered %q", got)
	}
}

func TestMalformedCallIsRefusedByNetHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, busy)
	for _, text := range []string{post(busy, "{}", "Host: other"), post(busy, "{}", "X A: 1"), post(busy, "{}", "Content-Length: 3"), "\x16\x03\x01\r\n\r\n"} {
		l := s.dial(t)
		l.send(post(busy, "good"))
		l.answer()
		l.send(text)
		if got := l.answer(); !strings.HasPrefix(got, "HTTP/1.1 400") {
			t.Errorf("%q is answered %q", text, got)
		}
	}
}

func TestConnectionThatWaitsTooLongIsClosed(t *testing.T) {
	t.Parallel()
	s := serve(t, &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 10 * time.Millisecond, IdleTimeout: time.Hour}, busy)
	if l := s.dial(t); !l.ended() {
		t.Error("a connection without a call stays open")
	}
	s = serve(t, &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: time.Hour, IdleTimeout: 10 * time.Millisecond}, busy)
	l := s.dial(t)
	l.send(post(busy, "{}"))
	l.answer()
	if !l.ended() {
		t.Error("a connection without another call stays open")
	}
}

func TestHandlerThatPanicsEndsItsConnectionAlone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var logged bytes.Buffer
	logger := log.New(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return logged.Write(p)
	}), "", 0)
	s := serve(t, &http.Server{ErrorLog: logger, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			panic("no body")
		}
		echo(w, r)
	})}, busy)
	other, l := s.dial(t), s.dial(t)
	l.send(post(busy, ""))
	if !l.ended() {
		t.Error("the connection is open")
	}
	other.send(post(busy, "{}"))
	other.answer()
	mu.Lock()
	defer mu.Unlock()
	if text := logged.String(); !strings.Contains(text, "no body") || !strings.Contains(text, "server_test.go") {
		t.Errorf("logged %q, want the cause and where it came from", text)
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

func TestServerThatEndsAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	s := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			close(asked)
			<-answer
		}
		echo(w, r)
	})}, busy)
	idle, l := s.dial(t), s.dial(t)
	idle.send(post(busy, ""))
	idle.answer()
	l.send(post(busy, "{}") + post(busy, "the next one"))
	<-asked
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if !idle.ended() {
		t.Error("a connection that waits stays open")
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended before the call was answered: %v", err)
	default:
	}
	close(answer)
	if got := l.answer(); !strings.Contains(got, "\r\nConnection: close\r\n") || !strings.HasSuffix(got, " {}\n") {
		t.Errorf("answered %q", got)
	}
	if !l.ended() {
		t.Error("the connection is open after the last answer")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServerThatEndsAnswersACallThatHasBegunToArrive(t *testing.T) {
	t.Parallel()
	s := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, busy)
	idle, l := s.dial(t), s.dial(t)
	idle.send(post(busy, "{}"))
	idle.answer()
	second := post(busy, "the second")
	l.send(post(busy, "{}") + second[:40]) // they arrive together
	l.answer()
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if !idle.ended() { // which tells that the server has begun to end
		t.Error("a connection that waits stays open")
	}
	l.send(second[40:])
	if got := l.answer(); !strings.Contains(got, "\r\nConnection: close\r\n") || !strings.HasSuffix(got, " the second\n") {
		t.Errorf("answered %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	defer close(answer)
	s := serve(t, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answer
	})}, busy)
	l := s.dial(t)
	l.send(post(busy, "{}"))
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown returned %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !l.ended() {
		t.Error("the connection is open after Close")
	}
}

func TestListenerThatFailsEndsServing(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := express.New(&http.Server{Handler: http.HandlerFunc(echo)}, []string{busy}).Serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serving ended with %v", err)
	}
}

// tiredListener fails once, as when a process has too many files open, and goes on.
type tiredListener struct {
	net.Listener
	failed bool
}

func (l *tiredListener) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, syscall.EMFILE // which says that it is temporary
	}
	return l.Listener.Accept()
}

func TestFailureThatPassesDoesNotEndServing(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := log.New(io.Discard, "", 0)
	s := serveOn(t, &tiredListener{Listener: listener}, &http.Server{Handler: http.HandlerFunc(echo), ErrorLog: silent}, busy)
	l := s.dial(t)
	l.send(post(busy, "{}"))
	l.answer()
}

func TestManyCallersAreAnsweredEachItsOwn(t *testing.T) {
	t.Parallel()
	s := serve(t, &http.Server{Handler: http.HandlerFunc(echo), IdleTimeout: time.Minute, WriteTimeout: time.Minute}, busy)
	var callers sync.WaitGroup
	for g := range 32 {
		l := s.dial(t)
		callers.Go(func() {
			for i := range 100 {
				body := fmt.Sprintf("caller %d call %d", g, i)
				path := busy
				if i == 90 {
					path = "/other"
				}
				if _, err := io.WriteString(l, post(path, body)); err != nil {
					t.Error(err)
					return
				}
				r, err := http.ReadResponse(l.answers, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(r.Body); err != nil || !strings.HasSuffix(string(got), " "+body+"\n") {
					t.Errorf("%s is answered %q (%v)", body, got, err)
				}
			}
		})
	}
	callers.Wait()
}
