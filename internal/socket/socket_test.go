package socket_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/socket"
)

// pair is both ends of a connection, as net makes them. They are closed after the test.
func pair(t *testing.T, network string) (client, server net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	client, err = (&net.Dialer{}).DialContext(t.Context(), network, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func TestWrappedConnectionPassesTheConformanceTestsOfConnections(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				client, server := pair(t, network)
				return socket.Wrap(client), socket.Wrap(server), func() { _, _ = client.Close(), server.Close() }, nil
			})
		})
	}
}

func TestMessageArrivesWholeHoweverLongItIsAndHoweverLittleRoomThereIs(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 4 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			client, server := pair(t, "unix") // TCP would ask for room five times a second
			if err := client.(*net.UnixConn).SetWriteBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			message := bytes.Repeat([]byte("0123456789a"), size/11+1)[:size]
			var writing sync.WaitGroup
			writing.Go(func() {
				n, err := socket.Wrap(client).Write(message)
				if n != size || err != nil {
					t.Errorf("wrote %d of %d: %v", n, size, err)
				}
				_ = client.Close()
			})
			came, err := io.ReadAll(socket.Wrap(server))
			writing.Wait()
			if err != nil || !bytes.Equal(came, message) {
				t.Errorf("%d of %d bytes came, or others: %v", len(came), size, err)
			}
		})
	}
}

func TestWhatManyWriteAtOnceIsNotMixed(t *testing.T) {
	t.Parallel()
	const each = 20
	sizes := map[byte]int{'a': 100, 'b': 40 << 10, 'c': 64 << 10, 'd': 100 << 10, 'e': 200 << 10}
	client, server := pair(t, "unix")
	if err := client.(*net.UnixConn).SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	wrapped := socket.Wrap(client)
	var writing sync.WaitGroup
	for letter, size := range sizes {
		writing.Go(func() {
			message := bytes.Repeat([]byte{letter}, size)
			for range each {
				if _, err := wrapped.Write(message); err != nil {
					t.Error(err)
				}
			}
		})
	}
	reading := bufio.NewReader(socket.Wrap(server))
	for range each * len(sizes) {
		first, err := reading.Peek(1)
		if err != nil {
			t.Fatal(err)
		}
		message := make([]byte, sizes[first[0]])
		if _, err := io.ReadFull(reading, message); err != nil {
			t.Fatal(err)
		}
		if strings.Trim(string(message), string(message[:1])) != "" {
			t.Fatal("a message has another's bytes in it")
		}
	}
	writing.Wait()
}

func read(conn net.Conn) error {
	_, err := conn.Read(make([]byte, 10))
	return err
}

func write(conn net.Conn) error {
	_, err := conn.Write(make([]byte, 10))
	return err
}

func reset(conn net.Conn) { _, _ = conn.(*net.TCPConn).SetLinger(0), conn.Close() }

// failures are what can go wrong on one end; the other end is net's.
var failures = []struct {
	name   string
	before func(conn, other net.Conn)
	try    func(conn net.Conn) error
	want   error
}{
	{"the stream ends", func(_, other net.Conn) { _ = other.Close() }, read, io.EOF},
	{"the other end resets", func(_, other net.Conn) { reset(other) }, read, syscall.ECONNRESET},
	{"a write to an end that has gone", func(conn, other net.Conn) {
		reset(other)
		_ = read(conn) // until the reset is here
	}, write, syscall.EPIPE},
	{"the read is too late", func(conn, _ net.Conn) { _ = conn.SetDeadline(time.Unix(1, 0)) }, read, os.ErrDeadlineExceeded},
	{"the write is too late", func(conn, _ net.Conn) { _ = conn.SetDeadline(time.Unix(1, 0)) }, write, os.ErrDeadlineExceeded},
	{"it is closed and read", func(conn, _ net.Conn) { _ = conn.Close() }, read, net.ErrClosed},
	{"it is closed and written", func(conn, _ net.Conn) { _ = conn.Close() }, write, net.ErrClosed},
}

func TestFailuresAreWordedAsNetWordsThem(t *testing.T) {
	t.Parallel()
	for _, failure := range failures {
		t.Run(failure.name, func(t *testing.T) {
			t.Parallel()
			said := func(wrap func(net.Conn) net.Conn) (error, string) {
				conn, other := pair(t, "tcp")
				wrapped := wrap(conn)
				failure.before(wrapped, other)
				err := failure.try(wrapped)
				if err == nil {
					t.Fatal("nothing failed")
				}
				text := strings.ReplaceAll(err.Error(), conn.LocalAddr().String(), "here")
				return err, strings.ReplaceAll(text, other.LocalAddr().String(), "there")
			}
			err, got := said(socket.Wrap)
			_, want := said(func(conn net.Conn) net.Conn { return conn })
			if got != want || !errors.Is(err, failure.want) {
				t.Errorf("said %q, want %q", got, want)
			}
			var ours net.Error
			if failure.want == os.ErrDeadlineExceeded && (!errors.As(err, &ours) || !ours.Timeout()) {
				t.Errorf("%v is no timeout", err)
			}
		})
	}
}

func TestNothingCanBeReadAndWritten(t *testing.T) {
	t.Parallel()
	conn, _ := pair(t, "tcp")
	wrapped := socket.Wrap(conn)
	for _, move := range []func([]byte) (int, error){wrapped.Read, wrapped.Write} {
		if n, err := move(nil); n != 0 || err != nil {
			t.Errorf("moved %d: %v", n, err)
		}
	}
}

func TestWriteThatIsTooLateTellsHowMuchItGave(t *testing.T) {
	t.Parallel()
	client, server := pair(t, "unix")
	if err := errors.Join(client.(*net.UnixConn).SetWriteBuffer(4<<10), client.SetDeadline(clock.System.Now().Add(50*time.Millisecond))); err != nil {
		t.Fatal(err)
	}
	const size = 60 << 10 // there is no room for as much
	n, err := socket.Wrap(client).Write(make([]byte, size))
	if n == 0 || n == size || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d: %v", n, err)
	}
	_ = client.Close()
	if came, err := io.ReadAll(server); len(came) != n || err != nil {
		t.Errorf("%d bytes came of %d: %v", len(came), n, err)
	}
}

func TestWhatIsDialedIsWrapped(t *testing.T) {
	t.Parallel()
	client, _ := pair(t, "tcp")
	dialed, err := socket.Dialing(func(context.Context, string, string) (net.Conn, error) { return client, nil })(t.Context(), "", "")
	if err != nil || fmt.Sprintf("%T", dialed) != fmt.Sprintf("%T", socket.Wrap(client)) {
		t.Errorf("dialed a %T: %v", dialed, err)
	}
	refused := errors.New("refused")
	dialed, err = socket.Dialing(func(context.Context, string, string) (net.Conn, error) { return nil, refused })(t.Context(), "", "")
	if dialed != nil || !errors.Is(err, refused) {
		t.Errorf("dialed %v: %v", dialed, err)
	}
}
