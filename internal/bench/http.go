package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/express"
	"github.com/settled-dev/settled/internal/socket"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// door is the HTTP API over the run's database, served as in production, with a key that may ask for refunds at any rate.
type door struct {
	server *express.Server
	served chan error
	client *tasks.Client
	addr   string
	key    string
}

// openDoor serves the API on a free port of the loopback interface. Rings go to Redis, as in production.
func openDoor(ctx context.Context, e *environment) (*door, error) {
	client, err := tasks.NewClient(ctx, e.pool, e.doorbell, tasks.ClientConfig{Producer: producerName, RingAfter: time.Hour})
	if err != nil {
		return nil, err
	}
	_, token, err := access.Create(ctx, e.ownerPool, access.NewKey{Producer: producerName, Scopes: []access.Scope{access.RefundsWrite},
		By: producerName})
	if err != nil {
		client.Close()
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	const unlimited = 1_000_000_000 // items a second: the rate of a key is not what is measured
	guard := access.NewGuard(access.Config{Pool: e.pool, Rate: unlimited, Burst: unlimited})
	api := intake.NewAPI(intake.Config{Client: client, Reader: ledger.NewReader(e.pool), Access: guard, HeadroomBytes: intake.Headroom})
	server := &http.Server{Handler: api, ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute}
	d := &door{client: client, addr: listener.Addr().String(), key: token.Reveal(), served: make(chan error, 1),
		server: express.New(server, intake.BusiestPaths())}
	go func() { d.served <- d.server.Serve(ctx, listener) }()
	return d, nil
}

// close waits for the calls under way and for the rings.
func (d *door) close(ctx context.Context) error {
	err := d.server.Shutdown(ctx)
	if ended := <-d.served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	d.client.Close()
	return err
}

// call is a whole request as bytes, made before the measurement: what is measured is the server.
func (d *door) call(path, contentType string, body []byte) []byte {
	var call bytes.Buffer
	fmt.Fprintf(&call, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path,
		d.addr, d.key, contentType, len(body))
	call.Write(body)
	return call.Bytes()
}

// caller is one keep-alive connection of a producer.
type caller struct {
	conn    net.Conn
	answers *bufio.Reader
	body    []byte
}

func (d *door) dial(ctx context.Context) (*caller, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, fmt.Errorf("call the API: %w", err)
	}
	conn = socket.Wrap(conn)
	return &caller{conn: conn, answers: bufio.NewReader(conn)}, nil
}

// do sends a call and returns the answer's body, which is good until the next call. It reads no more of an answer than it must: what
// the producers' side costs is not settled's.
func (c *caller) do(call []byte, want string) ([]byte, error) {
	if _, err := c.conn.Write(call); err != nil {
		return nil, fmt.Errorf("call the API: %w", err)
	}
	status, size := "", 0
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("read an answer of the API: %w", err)
		}
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			break
		}
		if status == "" {
			status = string(text)
		}
		if length, ok := bytes.CutPrefix(text, []byte("Content-Length: ")); ok {
			if size, err = strconv.Atoi(string(length)); err != nil {
				return nil, fmt.Errorf("read an answer of the API: %w", err)
			}
		}
	}
	c.body = slices.Grow(c.body[:0], size)[:size]
	if _, err := io.ReadFull(c.answers, c.body); err != nil {
		return nil, fmt.Errorf("read an answer of the API: %w", err)
	}
	if !strings.HasPrefix(status, "HTTP/1.1 "+want) {
		return nil, fmt.Errorf("the API answered %s: %s", status, c.body)
	}
	return c.body, nil
}

// httpLatencies are what the callers of http-accept waited for, round by round. Their p99 is told in two kinds of commits, each by its
// median in the same round: raw_accept's, which store as many rows as PostgreSQL is given at once, and bare ones, of a single row by
// nobody but its caller.
type httpLatencies struct {
	p50, p99     []float64     // milliseconds
	commits      []float64     // p99 in commits of raw_accept
	bareCommits  []float64     // p99 in bare commits
	commit, bare time.Duration // of this round
}

// before measures the round's bare commit.
func (l *httpLatencies) before(ctx context.Context, e *environment) error {
	took, err := bareCommits(ctx, e)
	if err == nil {
		l.bare = took[len(took)/2]
	}
	return err
}

func (l *httpLatencies) add(each []time.Duration) {
	slices.Sort(each)
	p50, p99 := each[len(each)/2], each[len(each)*99/100]
	l.p50, l.p99 = append(l.p50, milliseconds(p50)), append(l.p99, milliseconds(p99))
	l.commits = append(l.commits, p99.Seconds()/l.commit.Seconds())
	l.bareCommits = append(l.bareCommits, p99.Seconds()/l.bare.Seconds())
}

// String tells the medians of the rounds.
func (l *httpLatencies) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms: %.1f times raw_accept's median commit, %.0f times that of one row on an idle machine",
		median(l.p50), median(l.p99), median(l.commits), median(l.bareCommits))
}

// measureHTTPAccept measures the API: producers over keep-alive connections, one refund a call, each answered after its commit.
func measureHTTPAccept(ctx context.Context, e *environment, o *orders, n int, waited *httpLatencies) (sample, error) {
	d, err := openDoor(ctx, e)
	if err != nil {
		return sample{}, err
	}
	held, err := newOutside(n * refundCallMax)
	if err != nil {
		return sample{}, err
	}
	defer held.free()
	calls, err := d.refundCalls(held, o.refunds(n))
	if err != nil {
		return sample{}, err
	}
	callers := make([]*caller, producers)
	for g := range callers {
		if callers[g], err = d.dial(ctx); err != nil {
			return sample{}, err
		}
		defer func() { _ = callers[g].conn.Close() }() // every answer was read
	}
	each := make([]time.Duration, len(calls))
	s, err := e.measured(ctx, len(calls), func() error {
		return inParallel(producers, len(calls), func(g, i int) (err error) {
			each[i], err = timed(func() error {
				_, err := callers[g].do(calls[i], "202")
				return err
			})
			return err
		})
	})
	waited.add(each)
	return s, errors.Join(err, d.close(ctx))
}

// refundCallMax is the room of one call with a refund, in bytes; it takes half of it.
const refundCallMax = 1024

// refundCalls makes the calls in memory of the producers.
func (d *door) refundCalls(held *outside, payloads []tasks.Payload) ([][]byte, error) {
	calls := make([][]byte, len(payloads))
	for i, payload := range payloads {
		body, err := json.Marshal(payload)
		if err != nil {
			return nil, fmt.Errorf("encode a refund: %w", err)
		}
		if calls[i], err = held.keep(d.call("/v1/requests/"+string(tasks.RefundApply), "application/json", body)); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// measureHTTPBulk measures one call with a list of refunds, until its answer is read.
func measureHTTPBulk(ctx context.Context, e *environment, o *orders, n int) (sample, error) {
	d, err := openDoor(ctx, e)
	if err != nil {
		return sample{}, err
	}
	payloads := o.refunds(min(n, intake.ListMax))
	body, err := json.Marshal(payloads)
	if err != nil {
		return sample{}, fmt.Errorf("encode refunds: %w", err)
	}
	call := d.call("/v1/requests/"+string(tasks.RefundApply)+"/bulk", "application/json", body)
	c, err := d.dial(ctx)
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = c.conn.Close() }() // its answer was read
	var text []byte
	s, err := e.measured(ctx, len(payloads), func() (err error) {
		text, err = c.do(call, "200")
		return err
	})
	var answer intake.ListAnswer
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err == nil && answer.Accepted != len(payloads) {
		err = fmt.Errorf("%+v, want %d accepted", answer.Tally, len(payloads))
	}
	return s, errors.Join(err, d.close(ctx))
}
