//go:build (amd64 || arm64) && !race && !msan && !asan

package socket_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/settled-dev/settled/internal/socket"
)

func TestOnlyStreamsOfTheNetPackageAreWrapped(t *testing.T) {
	t.Parallel()
	tcp, _ := pair(t, "tcp")
	unix, _ := pair(t, "unix")
	for _, stream := range []net.Conn{tcp, unix} {
		wrapped := socket.Wrap(stream)
		if wrapped == stream {
			t.Errorf("a %T is not wrapped", stream)
		}
		if again := socket.Wrap(wrapped); again != wrapped {
			t.Errorf("a %T is wrapped twice", stream)
		}
		if _, ok := wrapped.(syscall.Conn); !ok {
			t.Errorf("a wrapped %T does not show its descriptor", stream)
		}
	}
	pipe, _ := net.Pipe()
	datagrams, err := (&net.Dialer{}).DialContext(t.Context(), "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = datagrams.Close() }()
	unixDatagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unixDatagrams.Close() }()
	for _, other := range []net.Conn{pipe, datagrams, unixDatagrams, tls.Client(tcp, &tls.Config{})} { //nolint:gosec // no handshake is made
		if socket.Wrap(other) != other {
			t.Errorf("a %T is wrapped", other)
		}
	}
}

func TestReadingAndWritingLeaveNoGarbage(t *testing.T) {
	client, server := pair(t, "tcp")
	client, server = socket.Wrap(client), socket.Wrap(server)
	call, answer := make([]byte, 400), make([]byte, 4<<10)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := client.Write(call); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(answer); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a message costs %v allocations", n)
	}
}

func TestOneReadTakesNoMoreThanAPiece(t *testing.T) {
	t.Parallel()
	client, server := pair(t, "unix")
	const sent = 128 << 10 // there is room for as much
	if err := client.(*net.UnixConn).SetWriteBuffer(2 * sent); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(make([]byte, sent)); err != nil {
		t.Fatal(err)
	}
	if n, err := socket.Wrap(server).Read(make([]byte, sent)); n != 64<<10 || err != nil {
		t.Errorf("read %d bytes: %v", n, err)
	}
}
