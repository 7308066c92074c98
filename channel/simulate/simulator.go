package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Config configures a Simulator.
type Config struct {
	// Dir is where merchants' settings and the simulator's own files are; it is made if need be. Required.
	Dir string
	// BaseURL is where Handler is served, such as http://127.0.0.1:8090: settings name it. Required.
	BaseURL string
	// NotifyURL is where notices go, with /<channel> behind it, such as http://127.0.0.1:8080/v1/notices. Required.
	NotifyURL string
	// Kinds are the channels. Required.
	Kinds []Kind
	// TimeScale divides a channel's pauses. Defaults to 1.
	TimeScale float64
	// RefundTime is how long a slow refund takes, before it is scaled. Defaults to 5 minutes, as long as one to WeChat Pay's balance.
	RefundTime time.Duration
	// Faults are the misbehaviour to begin with.
	Faults Faults
	// Seed decides whom faults hit.
	Seed uint64
	// DeliveriesMax bounds the deliveries under way. Defaults to 32.
	DeliveriesMax int
	// Client delivers notices. Defaults to one that follows no redirects.
	Client *http.Client
	// Clock defaults to the system's.
	Clock clock.Timer
	// Logger defaults to none.
	Logger *slog.Logger
}

// Simulator is channels with one merchant. Its methods may be called at the same time.
type Simulator struct {
	config  Config
	journal *journal
	desks   map[tasks.Source]*desk
	courier *courier
	handler http.Handler
	turning sync.Mutex // held while keys rotate
}

// Order is what a payer pays.
type Order struct {
	Channel    tasks.Source `json:"channel"`
	OutTradeNo string       `json:"out_trade_no"`
	Amount     money.Amount `json:"amount"`
	// Again pays an order that is paid once more. Without it the first payment is returned.
	Again bool `json:"again,omitempty"`
	// NotifyURL is where this payment's notice goes. Empty: the merchant's own address. The special value "none" sends none, as for an
	// order of which another system of the merchant is told.
	NotifyURL string `json:"notify_url,omitempty"`
	// OrderedAt is when the merchant says that it has sent the order to the channel, to the second. UnionPay finds an order by that time
	// alone; it finds one without such a time by any. Other channels do not look at it.
	OrderedAt time.Time `json:"ordered_at,omitzero"`
	// Lost keeps all notices of this payment from arriving, as the fault does.
	Lost bool `json:"lost,omitempty"`
}

// Receipt is what a payer gets.
type Receipt struct {
	Channel      tasks.Source `json:"channel"`
	OutTradeNo   string       `json:"out_trade_no"`
	ChannelTxnID string       `json:"channel_txn_id"`
	Amount       money.Amount `json:"amount"` // what was paid: a fault may have made it another one than was asked
	PaidAt       time.Time    `json:"paid_at"`
	Replayed     bool         `json:"replayed,omitempty"` // it was paid before
}

// Open makes the channels, with the keys and the record that Dir has of them, and writes merchants' settings. Run delivers, and Close
// gives the directory free. Errors: a *tasks.FieldError of the configuration, and those of files.
func Open(config Config) (_ *Simulator, err error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("open simulator: %w", err)
	}
	s := &Simulator{config: config, desks: map[tasks.Source]*desk{}}
	s.courier = &courier{clock: config.Clock, client: config.Client, notifyURL: config.NotifyURL, scale: config.TimeScale,
		calls: make(chan struct{}, config.DeliveriesMax), logger: config.Logger, rang: make(chan struct{}, 1), changed: make(chan struct{})}
	if err := os.MkdirAll(s.own(), 0o700); err != nil {
		return nil, fmt.Errorf("open simulator: %w", err)
	}
	for _, kind := range config.Kinds {
		s.desks[kind.Source] = &desk{source: kind.Source, clock: config.Clock, notify: s.courier.send, faults: config.Faults,
			dice: dice{config.Seed}, slow: s.courier.scaled(config.RefundTime), byTxnID: map[string]*payment{},
			byNumber: map[string]*refund{}, byOrder: map[string][]*payment{}, orders: map[string]*ordered{}}
	}
	if s.journal, err = openJournal(filepath.Join(s.own(), "journal.ndjson"), s.replay); err != nil {
		return nil, fmt.Errorf("open simulator: %w", err)
	}
	for _, d := range s.desks {
		d.journal = s.journal
	}
	if err := s.openDialects(); err != nil {
		return nil, errors.Join(fmt.Errorf("open simulator: %w", err), s.Close())
	}
	s.handler = s.newHandler()
	s.resume()
	return s, nil
}

// complete fills in defaults and refuses what is missing or out of range.
func (c *Config) complete() error {
	for _, address := range []struct{ name, value string }{{"base URL", c.BaseURL}, {"notify URL", c.NotifyURL}} {
		if parsed, err := url.Parse(address.value); err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return &tasks.FieldError{Field: address.name, Problem: "is not an address", Allowed: "such as http://127.0.0.1:8080/path"}
		}
	}
	c.NotifyURL, c.BaseURL = strings.TrimRight(c.NotifyURL, "/"), strings.TrimRight(c.BaseURL, "/")
	if c.TimeScale == 0 {
		c.TimeScale = 1
	}
	if !(c.TimeScale > 0) { // not a number is not, either
		return &tasks.FieldError{Field: "time scale", Problem: fmt.Sprintf("is %v", c.TimeScale), Allowed: "more than 0"}
	}
	if c.RefundTime == 0 {
		c.RefundTime = 5 * time.Minute
	}
	if c.DeliveriesMax <= 0 {
		c.DeliveriesMax = 32
	}
	if c.Client == nil {
		c.Client = newClient(c.DeliveriesMax)
	}
	if c.Clock == nil {
		c.Clock = clock.System
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c.Faults.Check()
}

// newClient keeps a connection for each delivery that is under way. Each delivery has a deadline of its own.
func newClient(deliveriesMax int) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: deliveriesMax, IdleConnTimeout: time.Minute}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// own is the directory of the simulator's own files.
func (s *Simulator) own() string { return filepath.Join(s.config.Dir, "simulator") }

// replay puts a line of the journal where it belongs. Lines of channels that are not simulated now are left alone.
func (s *Simulator) replay(l line) error {
	switch {
	case l.Order != nil:
		if d := s.desks[l.Order.Channel]; d != nil {
			d.keepOrder(*l.Order)
		}
	case l.Closed != nil:
		if d := s.desks[l.Closed.Channel]; d != nil {
			o := d.orders[l.Closed.OutTradeNo]
			if o == nil {
				return ErrNotOrdered
			}
			o.closed = true
		}
	case l.Payment != nil:
		if d := s.desks[l.Payment.Channel]; d != nil {
			d.keepPayment(*l.Payment)
		}
	case l.Refund != nil:
		if d := s.desks[l.Refund.Channel]; d != nil {
			p := d.byTxnID[l.Refund.ChannelTxnID]
			if p == nil {
				return ErrUnknownPayment
			}
			d.keepRefund(*l.Refund, p)
		}
	case l.Revised != nil:
		if d := s.desks[l.Revised.Channel]; d != nil {
			r := d.byNumber[l.Revised.RefundNumber]
			if r == nil {
				return errors.New("no such refund")
			}
			d.keepRevision(r, l.Revised.At)
		}
	case l.Acknowledged != nil:
		if d := s.desks[l.Acknowledged.Channel]; d != nil {
			return d.keepAcknowledged(*l.Acknowledged)
		}
	}
	return nil
}

// keepAcknowledged marks a notice. The caller is alone.
func (d *desk) keepAcknowledged(l acknowledgedLine) error {
	if p := d.byTxnID[l.ChannelTxnID]; p != nil {
		p.notice.state = NoticeAcknowledged
		return nil
	}
	r := d.byNumber[l.RefundNumber]
	switch {
	case r == nil:
	case !l.Revised:
		r.notice.state = NoticeAcknowledged
		return nil
	case r.revision != nil:
		r.revision.state = NoticeAcknowledged
		return nil
	}
	return errors.New("no such notice")
}

// resume queues the notices that were not acknowledged, in the order in which they fell due.
func (s *Simulator) resume() {
	for _, d := range s.desks {
		for _, p := range d.payments {
			if p.notice.state != NoticeAcknowledged {
				s.courier.send(p.notice)
			}
		}
		for _, r := range d.refunds {
			for _, n := range r.notices() {
				if n.state != NoticeAcknowledged {
					s.courier.send(n)
				}
			}
		}
	}
}

// Run delivers notices until ctx ends, and waits for deliveries under way. It is run once. What was not acknowledged by then is sent
// after the next Open. It returns the disk's error when the journal cannot be written: nothing is answered for any more.
func (s *Simulator) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broken := make(chan error, 1)
	go func() {
		select {
		case <-s.journal.failed:
			cancel()
			broken <- s.journal.problem()
		case <-ctx.Done():
			broken <- nil
		}
	}()
	s.courier.run(ctx)
	s.config.Client.CloseIdleConnections()
	return <-broken
}

// Close writes what is left to write. It is called once, after Run has returned.
func (s *Simulator) Close() error { return s.journal.close() }

// Pay pays an order, and returns once that is on the disk (S1). An order that was paid for the same amount is not paid again: the
// first payment is returned, so that a payer whose answer was lost may ask again. It need not have been opened before. It returns
// ErrPaid, ErrClosed, a *tasks.FieldError, or the disk's error, which means that nothing is paid after a restart.
func (s *Simulator) Pay(order Order) (Receipt, error) {
	d, err := s.deskOf(order.Channel)
	if err == nil {
		err = order.check()
	}
	if err != nil {
		return Receipt{}, err
	}
	p, replayed, err := d.pay(order)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{Channel: order.Channel, OutTradeNo: p.OutTradeNo, ChannelTxnID: p.ChannelTxnID, Amount: p.Amount, PaidAt: p.PaidAt,
		Replayed: replayed}, nil
}

func (o Order) check() error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if o.OutTradeNo == "" || len(o.OutTradeNo) > 64 || strings.Trim(o.OutTradeNo, allowed) != "" {
		return &tasks.FieldError{Field: "out_trade_no", Problem: "is empty, too long or has other characters",
			Allowed: "1 to 64 of the characters A-Z a-z 0-9 _ -"}
	}
	if !o.Amount.IsPositive() {
		return &tasks.FieldError{Field: "amount", Problem: "is " + o.Amount.String(), Allowed: "more than 0.00, in yuan"}
	}
	if parsed, err := url.Parse(o.NotifyURL); o.NotifyURL != "" && o.NotifyURL != NoNotice && (err != nil || parsed.Host == "") {
		return &tasks.FieldError{Field: "notify_url", Problem: "is not an address", Allowed: `an address, or "none"`}
	}
	return nil
}

// channels are the names of those that are simulated, in the order of tasks.Channels.
func (s *Simulator) channels() []string {
	var names []string
	for _, source := range tasks.Channels() {
		if s.desks[source] != nil {
			names = append(names, string(source))
		}
	}
	return names
}

// SetFaults changes the misbehaviour from now on. It returns a *tasks.FieldError.
func (s *Simulator) SetFaults(faults Faults) error {
	if err := faults.Check(); err != nil {
		return err
	}
	for _, d := range s.desks {
		d.mu.Lock()
		d.faults = faults
		d.mu.Unlock()
	}
	return nil
}
