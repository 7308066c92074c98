package express

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/settled-dev/settled/internal/socket"
)

// wholeWithin is how long the rest of a call may take that has begun to arrive. Then it is net/http's, which has more patience.
const wholeWithin = time.Second

// The states of a connection that is not handed over; the package's comment tells of them.
const (
	waiting   int32 = iota
	answering       // or the call has begun to arrive
	closed
)

// conn is a connection on which usual calls came and no others.
type conn struct {
	net.Conn
	accepted net.Conn // as net/http wants it
	server   *Server
	handing  *handing
	state    atomic.Int32

	came    []byte // and is not answered yet; up to callBytesMax
	call    call
	common  *http.Request // what all calls of the connection have in common
	request http.Request  // of the call that is answered
	url     url.URL
	body    body
	answer  answer

	reading, writing deadline
}

func newConn(ctx context.Context, s *Server, accepted net.Conn, handing *handing) *conn {
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, accepted.LocalAddr())
	common := &http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		RemoteAddr: accepted.RemoteAddr().String()}
	return &conn{Conn: socket.Wrap(accepted), accepted: accepted, server: s, handing: handing,
		came: make([]byte, 0, callBytesMax), call: call{header: http.Header{}},
		common: common.WithContext(ctx), answer: answer{header: http.Header{}},
		reading: deadline{tell: accepted.SetReadDeadline}, writing: deadline{tell: accepted.SetWriteDeadline}}
}

// serve answers usual calls until the caller leaves, the server ends, or another call comes. It closes the connection unless it is handed
// over, however it ends.
func (c *conn) serve() {
	isHanded := false
	defer func() {
		if cause := recover(); cause != nil {
			c.logPanic(cause)
		}
		if !isHanded {
			_ = c.Close() // there is nobody to tell
		}
		c.server.remove(c)
	}()
	config := c.server.http
	patience := cmp.Or(config.ReadHeaderTimeout, config.ReadTimeout)
	for {
		switch c.next(patience) {
		case unusual:
			isHanded = c.handOver()
			return
		case partial:
			return
		}
		if !c.serveCall() {
			return
		}
		if len(c.came) == 0 {
			c.state.Store(waiting)
			if c.server.draining.Load() {
				return
			}
		}
		patience = cmp.Or(config.IdleTimeout, config.ReadTimeout)
	}
}

func (c *conn) logPanic(cause any) {
	if aborted, _ := cause.(error); errors.Is(aborted, http.ErrAbortHandler) {
		return
	}
	c.server.logger().Printf("http: panic serving %s: %v\n%s", c.common.RemoteAddr, cause, debug.Stack())
}

func (c *conn) closeIfWaiting() {
	if c.state.CompareAndSwap(waiting, closed) {
		_ = c.Close() // there is nobody to tell
	}
}

// next waits for a call: as long as the patience lasts for its first byte, for ever if that is 0, and for wholeWithin for the rest. It
// returns partial when nothing came, or the connection was closed before it came.
func (c *conn) next(patience time.Duration) verdict {
	begun := false
	for {
		if verdict := c.call.read(c.came, c.server.paths); verdict != partial {
			return verdict
		}
		switch {
		case len(c.came) == cap(c.came):
			return unusual
		case len(c.came) == 0:
			c.reading.extend(patience)
		case !begun:
			begun = true
			c.reading.set(wholeWithin)
		}
		n, err := c.Read(c.came[len(c.came):cap(c.came)])
		c.came = c.came[:len(c.came)+n]
		switch {
		case len(c.came) == 0, n > 0 && !c.arrives():
			return partial
		case err != nil:
			return unusual // net/http says what there is to say of half a call
		}
	}
}

// arrives says that a call has begun to arrive, unless the connection was closed before that.
func (c *conn) arrives() bool {
	return c.state.CompareAndSwap(waiting, answering) || c.state.Load() == answering
}

// serveCall answers the call, and says whether another may follow.
func (c *conn) serveCall() bool {
	c.body.Reset(c.call.body)
	c.request, c.url = *c.common, url.URL{Path: c.call.path}
	c.request.URL, c.request.RequestURI = &c.url, c.call.path
	c.request.Host, c.request.Header = c.call.host, c.call.header
	c.request.Body, c.request.ContentLength = &c.body, int64(len(c.call.body))
	c.server.http.Handler.ServeHTTP(&c.answer, &c.request)
	left := copy(c.came, c.came[c.call.length:])
	c.came = c.came[:left]
	last := c.server.draining.Load() || c.answer.asksToClose()
	c.writing.extend(c.server.http.WriteTimeout)
	_, err := c.Write(c.answer.text(last))
	c.answer.reset()
	return err == nil && !last
}

// handOver leaves the connection, and what came on it, to net/http, unless that has ended.
func (c *conn) handOver() bool {
	_ = c.SetDeadline(time.Time{}) // net/http sets its own
	select {
	case c.handing.handed <- &handed{Conn: c.accepted, unread: c.came}:
		return true
	case <-c.handing.closed:
		return false
	}
}

// handed is a connection of which something was read already.
type handed struct {
	net.Conn
	unread []byte
}

// Read implements net.Conn.
func (h *handed) Read(p []byte) (int, error) {
	if len(h.unread) == 0 {
		return h.Conn.Read(p)
	}
	n := copy(p, h.unread)
	if h.unread = h.unread[n:]; len(h.unread) == 0 {
		h.unread = nil // and the rest of its memory
	}
	return n, nil
}

// CloseWrite lets net/http end an answer before it closes the connection, so that the caller can read it.
func (h *handed) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// body is the body of a call.
type body struct{ bytes.Reader }

// Close implements io.Closer.
func (*body) Close() error { return nil }
