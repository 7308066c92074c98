package proof_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// point is a moment in the conversation of a batch with PostgreSQL.
type point string

const (
	lockUnanswered   point = "the book is locked, the requests are claimed and read, and the answer is lost"
	beforeWrite      point = "all is claimed and read, and nothing is decided"
	midWrite         point = "half is written"
	commitUnsent     point = "all is written, and the COMMIT is lost"
	commitUnanswered point = "PostgreSQL has committed, and the answer is lost"
	commitLate       point = "the line is cut, and the COMMIT arrives later"
	afterCommit      point = "the answer to the COMMIT has arrived"
)

// points are all of them, in their order.
var points = []point{lockUnanswered, beforeWrite, midWrite, commitUnsent, commitUnanswered, commitLate, afterCommit}

// cable is a wire to PostgreSQL that listens to what passes, and can be told to break once at a point of the next batch.
type cable struct {
	network, address string // of PostgreSQL
	listener         net.Listener
	config           *pgx.ConnConfig

	holds bool // it holds what passes for as long as the strike takes, instead of breaking

	mu     sync.Mutex
	armed  point // "" when the cable is not to break
	strike func()
	struck chan struct{}
	wires  sync.WaitGroup
	open   map[io.Closer]struct{}
	closed bool
}

func newCable(t *testing.T, databaseURL string) *cable {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, config: config, open: map[io.Closer]struct{}{}}
	c.network, c.address = pgconn.NetworkAddress(config.Host, config.Port)
	c.wires.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

// url names the database at the cable's near end.
func (c *cable) url() string {
	near := url.URL{Scheme: "postgres", User: url.UserPassword(c.config.User, c.config.Password), Host: c.listener.Addr().String(),
		Path: "/" + c.config.Database, RawQuery: "sslmode=disable"}
	return near.String()
}

// dial is a pool's DialFunc: whatever the address, it is reached through the cable.
func (c *cable) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", c.listener.Addr().String())
}

// arm makes the cable break at a point of the next batch. strike is called there, before the break, or, with commitLate, after it and
// before the COMMIT goes on. The returned channel is closed when it is over.
func (c *cable) arm(at point, strike func()) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.strike, c.struck = at, strike, make(chan struct{})
	return c.struck
}

func (c *cable) isArmed(at point) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed == at
}

// claim disarms the cable when it is armed for a point: only one connection breaks.
func (c *cable) claim(at point) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed != at {
		return false
	}
	c.armed = ""
	return true
}

func (c *cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(c.network, c.address)
		if err != nil {
			_ = near.Close()
			continue
		}
		w := &wire{cable: c, near: near, far: far, statements: map[string]string{}}
		if !c.keep(w) {
			continue
		}
		c.wires.Go(w.up)
		c.wires.Go(w.down)
	}
}

// keep remembers a wire for close, or cuts it when that has happened.
func (c *cable) keep(w *wire) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = w.Close()
		return false
	}
	c.open[w] = struct{}{}
	return true
}

func (c *cable) close() {
	c.mu.Lock()
	c.closed = true
	for wire := range c.open {
		_ = wire.Close()
	}
	c.mu.Unlock()
	_ = c.listener.Close()
	c.wires.Wait()
}

// wire is one connection. phase is how far its batch is.
type wire struct {
	cable      *cable
	near, far  net.Conn
	statements map[string]string // SQL by the name that it was prepared under

	mu    sync.Mutex
	phase string
	late  bool // the client is gone, and its COMMIT is still on the way
}

const (
	phaseLocked     = "locked"
	phaseWriting    = "writing"
	phaseCommitting = "committing"
)

// Close cuts both ends.
func (w *wire) Close() error {
	_ = w.near.Close()
	return w.far.Close()
}

func (w *wire) is(phase string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.phase == phase
}

func (w *wire) enter(phase string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = phase
}

// breakAt strikes and cuts when the cable is armed for the point.
func (w *wire) breakAt(at point) bool {
	if !w.cable.claim(at) {
		return false
	}
	w.cable.strike()
	if !w.cable.holds {
		_ = w.Close()
	}
	close(w.cable.struck)
	return !w.cable.holds
}

// up carries what the client says.
func (w *wire) up() {
	defer func() {
		if !w.isLate() { // else down closes, when PostgreSQL has answered
			_ = w.Close()
		}
	}()
	from := bufio.NewReader(w.near)
	for typed := false; ; typed = true { // the first message has no type
		message, err := readMessage(from, typed)
		if err != nil {
			return
		}
		if !typed && isCancel(message) || typed && w.hears(message, from) {
			return
		}
		if _, err := w.far.Write(message); err != nil {
			return
		}
	}
}

// isCancel says that a connection only carries the request to cancel another one. A driver sends one after a line that broke; a line
// that broke does not carry it.
func isCancel(first []byte) bool {
	const cancelRequest = 80877102
	return len(first) >= 8 && binary.BigEndian.Uint32(first[4:]) == cancelRequest
}

var writes = regexp.MustCompile(`^\s*(INSERT|UPDATE|DELETE|WITH \w+ AS \(\s*(INSERT|UPDATE|DELETE))`)

// hears follows the batch by the statements that it binds. It returns true when the wire was cut instead of carrying the message on.
func (w *wire) hears(message []byte, rest *bufio.Reader) bool {
	kind, body := message[0], message[5:]
	switch kind {
	case 'P': // Parse: name, SQL
		name, after, _ := bytes.Cut(body, []byte{0})
		sql, _, _ := bytes.Cut(after, []byte{0})
		w.statements[string(name)] = string(sql)
	case 'Q': // a simple query: ROLLBACK
		w.enter("")
	case 'B': // Bind: portal, name
		_, after, _ := bytes.Cut(body, []byte{0})
		name, _, _ := bytes.Cut(after, []byte{0})
		sql := w.statements[string(name)]
		switch {
		case strings.Contains(sql, "FROM books") && strings.Contains(sql, "FOR UPDATE"):
			w.enter(phaseLocked)
		case w.is(phaseLocked) && strings.Contains(sql, "DELETE FROM pending"): // the claim goes with the reads
		case w.is(phaseLocked) && writes.MatchString(sql):
			w.enter(phaseWriting)
			return w.breakAt(beforeWrite)
		case w.is(phaseWriting) && strings.Contains(sql, "INSERT INTO outcomes"):
			return w.breakAt(midWrite)
		case w.is(phaseWriting) && sql == "COMMIT":
			w.enter(phaseCommitting)
			return w.breakAt(commitUnsent) || w.sendLate(message, rest)
		}
	}
	return false
}

// sendLate cuts the client off, and lets the COMMIT arrive when the strike is over: nobody waits for its answer.
func (w *wire) sendLate(commit []byte, rest *bufio.Reader) bool {
	if !w.cable.claim(commitLate) {
		return false
	}
	late := bytes.Clone(commit)
	for kind := commit[0]; kind != 'S'; { // Sync ends what the client sends at once
		message, err := readMessage(rest, true)
		if err != nil {
			break
		}
		late, kind = append(late, message...), message[0]
	}
	w.mu.Lock()
	w.late = true
	w.mu.Unlock()
	_ = w.near.Close()
	w.cable.strike()
	_, _ = w.far.Write(late)
	close(w.cable.struck)
	return true
}

func (w *wire) isLate() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.late
}

// down carries what PostgreSQL says.
func (w *wire) down() {
	defer func() { _ = w.Close() }()
	from := bufio.NewReader(w.far)
	var held []byte // an answer that may be lost, until it is known whether it is
	for {
		message, err := readMessage(from, true)
		if err != nil {
			return
		}
		ready, committed := message[0] == 'Z', message[0] == 'C' && bytes.HasPrefix(message[5:], []byte("COMMIT"))
		// Asked before the client has the message: it may answer at once, and be a phase further.
		ended := ready && w.is(phaseCommitting)
		held = append(held, message...)
		switch {
		case w.is(phaseLocked) && w.cable.isArmed(lockUnanswered):
			if !ready {
				continue
			}
			if w.breakAt(lockUnanswered) {
				return
			}
		case w.is(phaseCommitting) && w.cable.isArmed(commitUnanswered):
			if !committed {
				continue
			}
			if w.breakAt(commitUnanswered) {
				return
			}
		}
		if _, err := w.near.Write(held); err != nil && !w.isLate() {
			return
		}
		held = held[:0]
		if ended {
			w.enter("")
			if w.isLate() || w.breakAt(afterCommit) {
				return
			}
		}
	}
}

// readMessage reads a message with its head.
func readMessage(from *bufio.Reader, typed bool) ([]byte, error) {
	head := make([]byte, 4, 5)
	if typed {
		head = head[:5]
	}
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[len(head)-4:])
	if length < 4 || length > 1<<28 {
		return nil, fmt.Errorf("message of %d bytes", length)
	}
	message := make([]byte, len(head)+int(length)-4)
	copy(message, head)
	_, err := io.ReadFull(from, message[len(head):])
	return message, err
}
