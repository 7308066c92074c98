package proof_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
)

// loss is what happens to what a client asks of Redis.
type loss string

const (
	commandLost loss = "the line breaks before Redis has the command"
	replyLost   loss = "Redis has done it, and the line breaks before the client knows"
	replyLate   loss = "Redis has done it, and says nothing until the client gives up"
)

// losses are all of them, with how many of a thousand commands each of them befalls. A client waits three seconds for a late reply.
var losses = map[loss]int{commandLost: 40, replyLost: 60, replyLate: 2}

// lossyRedis is a line to a Redis that loses commands and replies at random moments, until it is mended.
type lossyRedis struct {
	t        *testing.T
	far      string
	often    int // so many times the usual losses
	listener net.Listener

	mu     sync.Mutex
	random *rand.Rand
	mended bool
	closed bool
	open   map[io.Closer]struct{}
	wires  sync.WaitGroup

	rings atomic.Int64 // commands with rings that were not answered as they were done, or not done
	tasks atomic.Int64 // commands of asynq's servers, likewise
}

// newLossyRedis lays a line to the Redis that a URL names, which loses so many times the usual losses. Its moments are drawn from the seed.
func newLossyRedis(t *testing.T, redisURL string, often int, seed uint64) *lossyRedis {
	t.Helper()
	parsed, err := url.Parse(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossyRedis{t: t, far: parsed.Host, often: often, listener: listener, random: rand.New(rand.NewPCG(seed, 0)), open: map[io.Closer]struct{}{}}
	l.wires.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// url names Redis at the line's near end.
func (l *lossyRedis) url() string { return "redis://" + l.listener.Addr().String() + "/0" }

// mend lets everything through from now on.
func (l *lossyRedis) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mended = true
}

var greeting = regexp.MustCompile(`(?i)^\*\d+\r\n\$\d+\r\n(hello|client)\r\n`)

// draw says what befalls a command; "" is nothing. A connection is always made.
func (l *lossyRedis) draw(command []byte) loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.random.IntN(1000)
	if l.mended || greeting.Match(command) {
		return ""
	}
	for _, what := range []loss{commandLost, replyLost, replyLate} {
		if at -= losses[what] * l.often; at < 0 {
			return what
		}
	}
	return ""
}

func (l *lossyRedis) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.far)
		if err != nil {
			_ = near.Close()
			continue
		}
		w := &lossyWire{line: l, near: near, far: far}
		l.mu.Lock()
		if l.closed {
			_ = w.Close()
		} else {
			l.open[w] = struct{}{}
			l.wires.Go(w.up)
			l.wires.Go(w.down)
		}
		l.mu.Unlock()
	}
}

func (l *lossyRedis) close() {
	l.mu.Lock()
	l.closed = true
	for wire := range l.open {
		_ = wire.Close()
	}
	l.mu.Unlock()
	_ = l.listener.Close()
	l.wires.Wait()
}

// count counts a loss by what was asked: a ring publishes its queues, and asynq's scripts for servers name their lists.
func (l *lossyRedis) count(command []byte) {
	switch {
	case bytes.Contains(command, []byte("asynq:queues")):
		l.rings.Add(1)
	case bytes.Contains(bytes.ToLower(command), []byte("evalsha")) || bytes.Contains(command, []byte(":active")):
		l.tasks.Add(1)
	}
}

// lossyWire is one connection. A client says nothing more before it is answered, so what is read at once is a command or a pipeline.
type lossyWire struct {
	line      *lossyRedis
	near, far net.Conn

	mu    sync.Mutex
	loses loss // what is to become of the next reply
}

// Close cuts both ends.
func (w *lossyWire) Close() error {
	_ = w.near.Close()
	return w.far.Close()
}

// up carries what the client asks.
func (w *lossyWire) up() {
	defer func() { _ = w.Close() }()
	buffer := make([]byte, 1<<20)
	for {
		n, err := w.near.Read(buffer)
		if err != nil {
			return
		}
		what := w.line.draw(buffer[:n])
		if what != "" {
			w.line.count(buffer[:n])
		}
		if what == commandLost {
			return
		}
		w.mu.Lock()
		if w.loses == "" {
			w.loses = what
		}
		w.mu.Unlock()
		if _, err := w.far.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// down carries what Redis replies.
func (w *lossyWire) down() {
	defer func() { _ = w.Close() }()
	buffer := make([]byte, 1<<20)
	for {
		n, err := w.far.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		what := w.loses
		w.mu.Unlock()
		switch what {
		case replyLost:
			return
		case replyLate:
			continue
		}
		if _, err := w.near.Write(buffer[:n]); err != nil {
			return
		}
	}
}
