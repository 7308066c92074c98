package simulate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// plain is a channel that signs nothing and says everything in JSON, so that these tests are about what a simulator does.
type plain struct {
	mu   sync.Mutex
	keys int
	desk simulate.Desk
	// tellsFailures makes it a channel that has notices of them. Set before refunds are asked for.
	tellsFailures bool
}

// kind makes p the channel, new or with its keys restored.
func (p *plain) kind() simulate.Kind {
	return simulate.Kind{
		Source: tasks.SourceWeChat,
		New: func(clock.Clock) (simulate.KeyedDialect, error) {
			p.keys = 1
			return p, nil
		},
		Restore: func(_ clock.Clock, keys []byte) (simulate.KeyedDialect, error) {
			return p, json.Unmarshal(keys, &p.keys)
		},
	}
}

func (p *plain) Source() tasks.Source { return tasks.SourceWeChat }

func (p *plain) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys
}

func (p *plain) MerchantSettings(_, baseURL string) ([]byte, error) {
	return fmt.Appendf(nil, `{"keys":%d,"base_url":%q}`, p.count(), baseURL), nil
}

func (p *plain) Notice(notice channel.Notice, _ time.Time) (simulate.Message, error) {
	if notice.Event == channel.EventRefund && notice.Refund.State == channel.RefundFailed && !p.tellsFailures {
		return simulate.Message{}, fmt.Errorf("plain: %w", simulate.ErrNoNotice)
	}
	body, err := json.Marshal(notice)
	return simulate.Message{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, err
}

func (p *plain) Probe(notice channel.Notice, now time.Time) (simulate.Message, error) {
	message, err := p.Notice(notice, now)
	message.Header.Set("Probe", "yes")
	return message, err
}

func (p *plain) Acknowledged(status int, _ []byte) bool { return status == http.StatusOK }

func (p *plain) Redeliveries() []time.Duration { return []time.Duration{time.Minute, time.Hour} }

func (p *plain) AnswerWithin() time.Duration { return time.Minute }

func (p *plain) Handler(desk simulate.Desk) http.Handler {
	p.desk = desk
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hang", func(http.ResponseWriter, *http.Request) { panic(simulate.ErrHanging) })
	return mux
}

func (p *plain) Rotate() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys++
	return nil
}

func (p *plain) Keys() ([]byte, error) { return json.Marshal(p.count()) }

// merchant hears notices. Each one is handed to the test, which says what is answered.
type merchant struct {
	*httptest.Server
	heard chan heard
}

type heard struct {
	channel.Notice
	probe  bool
	path   string
	answer chan<- int
}

func newMerchant(t *testing.T) *merchant {
	t.Helper()
	m := &merchant{heard: make(chan heard, 100)}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := make(chan int, 1)
		h := heard{answer: answer, probe: r.Header.Get("Probe") != "", path: r.URL.Path}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &h.Notice)
		}
		if err != nil {
			t.Error(err)
			return
		}
		m.heard <- h
		select {
		case status := <-answer:
			w.WriteHeader(status)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// next is the next notice. It is answered by the caller.
func (m *merchant) next(t *testing.T) heard {
	t.Helper()
	select {
	case h := <-m.heard:
		return h
	case <-t.Context().Done():
		t.Fatal("no notice came")
		return heard{}
	}
}

// street is a simulator of the plain channel with a merchant, on a clock of its own.
type street struct {
	*simulate.Simulator
	merchant *merchant
	clock    *clock.Manual
	dir      string
	plain    *plain
	desk     simulate.Desk
	stop     func()
}

func newStreet(t *testing.T, change func(*simulate.Config)) *street {
	t.Helper()
	return openStreet(t, newMerchant(t), clock.NewManual(noon), t.TempDir(), change)
}

// openStreet opens a simulator and runs it. It is closed at the test's end unless stop was called.
func openStreet(t *testing.T, m *merchant, clock *clock.Manual, dir string, change func(*simulate.Config)) *street {
	t.Helper()
	p := &plain{}
	config := simulate.Config{Dir: dir, BaseURL: "http://simulator.invalid", NotifyURL: m.URL + "/notices", Kinds: []simulate.Kind{p.kind()}, Clock: clock}
	if change != nil {
		change(&config)
	}
	s, err := simulate.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &street{Simulator: s, merchant: m, clock: clock, dir: dir, plain: p, desk: p.desk, stop: stop}
}

// crashed is what another start finds after SIGKILL: the directory as it is now, in another place because this one is locked.
func (s *street) crashed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *street) pay(t *testing.T, order simulate.Order) simulate.Receipt {
	t.Helper()
	order.Channel = tasks.SourceWeChat
	receipt, err := s.Pay(order)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// entry waits until the notice of the payment's order or of the refund is in the state, and returns the record's entry.
func (s *street) entry(t *testing.T, number string, state simulate.NoticeState) simulate.Entry {
	t.Helper()
	for {
		changed := s.Changed()
		for _, e := range s.Record() {
			if (e.OutTradeNo == number && e.Kind == simulate.EntryPayment || e.RefundNumber == number) && e.Notice == state {
				return e
			}
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("%s: its notice is never %s", number, state)
		}
	}
}

func yuan(t testing.TB, text string) money.Amount {
	t.Helper()
	amount, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

func journalOf(dir string) string { return filepath.Join(dir, "simulator", "journal.ndjson") }
