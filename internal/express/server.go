package express

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

// Server serves like the http.Server that it was made of, and answers usual calls by itself. It may be used by many goroutines at once.
type Server struct {
	http  *http.Server
	paths map[string]string // each by itself

	draining atomic.Bool

	mu      sync.Mutex
	conns   map[*conn]bool
	serving sync.WaitGroup // the connections in conns
}

// New makes a server of one that has not begun to serve and is no longer changed: it gives the handler, the limits of time and the log.
// Calls of the paths are answered here when they are usual. A path is absolute and has no escapes; its handler answers soon, and with a
// Content-Type. It keeps nothing of a request or its header: the connection's next call is read into them.
func New(server *http.Server, paths []string) *Server {
	s := &Server{http: server, paths: map[string]string{}, conns: map[*conn]bool{}}
	for _, path := range paths {
		s.paths[path] = path
	}
	return s
}

// Serve takes connections from a listener until Shutdown or Close, then returns http.ErrServerClosed; or until the listener fails. It
// closes the listener. All calls have a context of ctx; its end does not end serving. It is called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	handing := &handing{Listener: listener, handed: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{})}
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(context.WithValue(ctx, http.ServerContextKey, s.http), handing) })
	err := s.http.Serve(handing)
	_ = handing.Close() // net/http has, unless it never began
	accepting.Wait()
	return err
}

// accept takes connections until the listener is closed. It rests after a failure that passes; net/http is told of others.
func (s *Server) accept(ctx context.Context, handing *handing) {
	rest := acceptRestMin
	for {
		accepted, err := handing.Listener.Accept()
		if isTemporary(err) {
			s.logger().Printf("http: accept: %v; again in %v", err, rest)
			select {
			case <-clock.System.After(rest):
				rest = min(2*rest, acceptRestMax)
				continue
			case <-handing.closed:
				return
			}
		}
		if err != nil {
			select {
			case handing.failed <- err:
				continue
			case <-handing.closed:
				return
			}
		}
		rest = acceptRestMin
		c := newConn(ctx, s, accepted, handing)
		if !s.add(c) {
			_ = accepted.Close() // nothing was read from it
			return
		}
		go c.serve()
	}
}

// How long accepting rests after a failure that passes, such as that no file is left: as long as net/http rests.
const (
	acceptRestMin = 5 * time.Millisecond
	acceptRestMax = time.Second
)

func isTemporary(err error) bool {
	var passing interface{ Temporary() bool }
	return errors.As(err, &passing) && passing.Temporary()
}

func (s *Server) logger() *log.Logger {
	if s.http.ErrorLog != nil {
		return s.http.ErrorLog
	}
	return log.Default()
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.conns[c] = true
	s.serving.Add(1)
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.serving.Done()
}

// Shutdown takes no more connections, closes those that wait, and returns when all calls are answered. It returns ctx's error when that
// ends first; calls go on then until Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain(func(c *conn) { c.closeIfWaiting() })
	err := s.http.Shutdown(ctx)
	answered := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(answered)
	}()
	select {
	case <-answered:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// Close closes all connections, whatever happens on them.
func (s *Server) Close() error {
	s.drain(func(c *conn) { _ = c.Close() })
	return s.http.Close()
}

func (s *Server) drain(end func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	for c := range s.conns {
		end(c)
	}
}

// handing is the listener of net/http: it gives the connections on which an unusual call came.
type handing struct {
	net.Listener

	handed chan net.Conn
	failed chan error
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (h *handing) Accept() (net.Conn, error) {
	select {
	case c := <-h.handed:
		return c, nil
	case err := <-h.failed:
		return nil, err
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called twice.
func (h *handing) Close() error {
	var err error
	h.once.Do(func() {
		close(h.closed)
		err = h.Listener.Close()
	})
	return err
}
