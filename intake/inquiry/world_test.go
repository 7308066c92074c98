package inquiry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// world is books of the test's own, orders and a channel whose answers the test gives. Its clock stands at noon until it is moved.
type world struct {
	*ledgertest.Books
	orders   *recharge.Orders
	clock    *clock.Manual
	payments *notice.Payments
	wechat   *answering
	ports    ports
	*process
}

// process is what a process that asks has for itself.
type process struct {
	*inquiry.Inquirer
	registry *prometheus.Registry
	logged   *bytes.Buffer
}

// ports are channels by their names.
type ports map[tasks.Source]channel.Port

// Port implements notice.Ports.
func (p ports) Port(source tasks.Source) (channel.Port, bool) {
	port, found := p[source]
	return port, found
}

// answering is a channel that answers as it is told, and remembers what it was asked about.
type answering struct {
	channel.Port

	mu     sync.Mutex
	answer func(context.Context, channel.PaymentOrder) (channel.Notice, error)
	asked  []string
}

// QueryPayment implements channel.PaymentQuerier.
func (a *answering) QueryPayment(ctx context.Context, order channel.PaymentOrder) (channel.Notice, error) {
	a.mu.Lock()
	a.asked = append(a.asked, order.OutTradeNo)
	answer := a.answer
	a.mu.Unlock()
	return answer(ctx, order)
}

// says has the channel answer the same from now on.
func (a *answering) says(n channel.Notice, err error) {
	a.does(func(context.Context, channel.PaymentOrder) (channel.Notice, error) { return n, err })
}

func (a *answering) does(answer func(context.Context, channel.PaymentOrder) (channel.Notice, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *answering) calls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

var errAway = errors.New("no route to host")

func open(t *testing.T) *world {
	t.Helper()
	books, now := ledgertest.Open(t), clock.NewManual(ledgertest.Noon)
	w := &world{Books: books, clock: now, orders: recharge.NewOrders(books.DB.Pool, books.Client.Books(), now), wechat: &answering{}}
	w.payments = &notice.Payments{Recharges: w.orders, Client: books.Client, Logger: slog.New(slog.DiscardHandler)}
	w.ports = ports{tasks.SourceWeChat: w.wechat}
	w.wechat.says(channel.Notice{}, errAway)
	w.process = w.start()
	return w
}

// start is another process.
func (w *world) start() *process { return w.startWith(w.ports) }

// startWith is a process with other channels.
func (w *world) startWith(ports notice.Ports) *process {
	p := &process{registry: prometheus.NewPedanticRegistry(), logged: &bytes.Buffer{}}
	p.Inquirer = inquiry.New(inquiry.Config{Ports: ports, Pool: w.DB.Pool, Payments: w.payments, Clock: w.clock, Registerer: p.registry,
		Logger: slog.New(slog.NewTextHandler(p.logged, nil))})
	return p
}

// order opens a recharge order of 100.00 by WeChat Pay.
func (w *world) order(t *testing.T, id string) recharge.Order {
	t.Helper()
	order, _, err := w.orders.Open(t.Context(), "shop", tasks.RechargeOrder{RechargeID: id, UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("100.00")})
	if err != nil {
		t.Fatal(err)
	}
	return order
}

// paid is what the channel's notice of a payment of an order says, a minute after noon.
func paid(order recharge.Order, txn string) channel.Notice {
	return channel.Notice{Channel: order.Channel, Event: channel.EventPaid, MerchantID: "m", OutTradeNo: order.OutTradeNo, ChannelTxnID: txn,
		Amount: order.Amount, OccurredAt: ledgertest.Noon.Add(time.Minute)}
}

// at moves the clock to some time after noon.
func (w *world) at(after time.Duration) { w.clock.Set(ledgertest.Noon.Add(after)) }

// page asks about a page.
func (w *world) page(t *testing.T) (more bool) {
	t.Helper()
	more, err := w.Page(t.Context(), tasks.SourceWeChat)
	if err != nil {
		t.Fatal(err)
	}
	return more
}

const outstandingSQL = "SELECT book, request_id FROM pending WHERE state = 'accepted' ORDER BY request_id"

// settle applies all that was accepted.
func (w *world) settle(t *testing.T) {
	t.Helper()
	rows, err := w.DB.Pool.Query(t.Context(), outstandingSQL)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r tasks.Receipt, err error) {
		err = row.Scan(&r.Book, &r.ID)
		return r, err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Apply(t, receipts...)
}

// expect applies what was accepted and compares what accounts hold.
func (w *world) expect(t *testing.T, yuan map[ledger.AccountName]string) {
	t.Helper()
	w.settle(t)
	for name, want := range yuan {
		w.Expect(t, name, want)
	}
}

const (
	cash     = ledger.AccountName("user/u1/cash")
	suspense = ledger.AccountName("suspense/wechat")
)

func (w *world) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := w.DB.Pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// expectWaiting compares how many inquiries wait.
func (w *world) expectWaiting(t *testing.T, want int) {
	t.Helper()
	if got := w.count(t, "SELECT count(*) FROM recharge_inquiries"); got != want {
		t.Errorf("%d inquiries wait, want %d", got, want)
	}
}

// expectAsked compares what was asked so far.
func (w *world) expectAsked(t *testing.T, want int) {
	t.Helper()
	if got := w.wechat.calls(); got != want {
		t.Errorf("the channel was asked %d times, want %d", got, want)
	}
}

// series are the values of a metric that are not 0, by their labels' values.
func (p *process) series(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			value := series.GetCounter().GetValue() + series.GetGauge().GetValue()
			if family.GetName() != name || value == 0 {
				continue
			}
			var labels string
			for _, label := range series.GetLabel() {
				labels += label.GetValue() + " "
			}
			got[labels] = value
		}
	}
	return got
}

// expectCounted compares what the process's inquiries of WeChat Pay came to.
func (p *process) expectCounted(t *testing.T, want map[string]float64) {
	t.Helper()
	labelled := map[string]float64{}
	for result, n := range want {
		labelled[fmt.Sprintf("wechat %s ", result)] = n
	}
	if diff := cmp.Diff(labelled, p.series(t, "settled_intake_inquiries_total")); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func mustFind(t *testing.T, w *world) recharge.Order {
	t.Helper()
	order, err := w.orders.Find(t.Context(), "rc1")
	if err != nil {
		t.Fatal(err)
	}
	return order
}
