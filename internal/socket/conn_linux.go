//go:build (amd64 || arm64) && !race && !msan && !asan

package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// pieceMax is how many bytes one call moves at most: some 10 µs of copying.
const pieceMax = 64 << 10

// conn is a TCP or Unix stream connection.
type conn struct {
	stream
	raw syscall.RawConn

	reading, writing transfer
}

// stream is a connection that has a file descriptor. go-redis looks through the latter whether its other side has left.
type stream interface {
	net.Conn
	syscall.Conn
}

// Wrap returns a connection that is read and written without announcing it to the scheduler, over the given one, which nobody else may
// then read or write. Only TCP and Unix streams of the net package are wrapped; anything else is returned as it is. Any number of
// goroutines may use it at once. It does not have what is special to the type of the given one, such as CloseWrite: whoever needs that
// keeps the given one.
func Wrap(given net.Conn) net.Conn {
	var s stream
	switch c := given.(type) {
	case *net.TCPConn:
		s = c
	case *net.UnixConn:
		if c.LocalAddr().Network() != "unix" {
			return given // datagrams, of which an empty one is not an end
		}
		s = c
	default:
		return given
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return given // it is not open, and says so when it is used
	}
	c := &conn{stream: s, raw: raw}
	c.reading.move, c.writing.move = c.reading.read, c.writing.write
	return c
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.stream.Read(p)
	}
	n, err := c.reading.of(p[:min(len(p), pieceMax)], c.raw.Read)
	if err != nil {
		return 0, c.failed("read", err)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) > pieceMax {
		return c.stream.Write(p)
	}
	n, err := c.writing.of(p, c.raw.Write)
	if err != nil {
		return n, c.failed("write", err)
	}
	return n, nil
}

// failed words an error as net does.
func (c *conn) failed(op string, err error) error {
	var told *net.OpError
	if errors.As(err, &told) {
		told.Op = op // "raw-read" or "raw-write"
		return told
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

// transfer moves bytes in one direction. It is part of the connection, and its function is made once, so that a call leaves no garbage.
type transfer struct {
	move func(fd uintptr) bool // returns false when the poller must be asked first

	mu    sync.Mutex
	bytes []byte
	n     int // of bytes, moved
	errno syscall.Errno
}

// of moves bytes by calling move through raw as often as it takes, and says how many.
func (t *transfer) of(bytes []byte, raw func(func(fd uintptr) bool) error) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes, t.n, t.errno = bytes, 0, 0
	err := raw(t.move)
	t.bytes = nil
	if err == nil && t.errno != 0 {
		err = t.errno
	}
	return t.n, err
}

// read takes what is there.
func (t *transfer) read(fd uintptr) bool {
	for {
		n, errno := call(syscall.SYS_RECVFROM, fd, t.bytes)
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		t.n, t.errno = n, errno
		return true
	}
}

// write gives everything, in as many calls as there is room for.
func (t *transfer) write(fd uintptr) bool {
	for t.n < len(t.bytes) {
		n, errno := call(syscall.SYS_SENDTO, fd, t.bytes[t.n:])
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN, errno == 0 && n == 0:
			return false
		case errno != 0:
			t.errno = errno
			return true
		}
		t.n += n
	}
	return true
}

// call is a system call that the scheduler is not told of. It does not wait, whatever the descriptor's own mode is: nobody could take the
// processor from a thread that does.
func call(number, fd uintptr, p []byte) (int, syscall.Errno) {
	const flags = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	n, _, errno := syscall.RawSyscall6(number, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
