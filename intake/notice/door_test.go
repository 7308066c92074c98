package notice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// door takes notices over books of the test's own. Its clock stands at noon until it is moved.
type door struct {
	*ledgertest.Books
	orders   *recharge.Orders
	clock    *clock.Manual
	ports    ports
	client   *tasks.Client
	registry *prometheus.Registry
	mux      *http.ServeMux
}

// ports are channels by their names.
type ports map[tasks.Source]channel.Port

// Port implements notice.Ports.
func (p ports) Port(source tasks.Source) (channel.Port, bool) {
	port, found := p[source]
	return port, found
}

func open(t *testing.T) *door {
	t.Helper()
	return openOn(t, pgtest.New(t))
}

// openOn opens a door for plain channels.
func openOn(t *testing.T, db *pgtest.Database) *door {
	t.Helper()
	d := &door{Books: ledgertest.OpenOn(t, db), clock: clock.NewManual(ledgertest.Noon), ports: ports{}}
	for _, source := range tasks.Channels() {
		d.ports[source] = plain{}
	}
	d.orders, d.client = recharge.NewOrders(db.Pool, d.Client.Books(), d.clock), d.Client
	d.restart()
	return d
}

// restart makes the door anew, as a process that has just started.
func (d *door) restart() { d.handle(d.ports) }

func (d *door) handle(ports notice.Ports) {
	d.registry, d.mux = prometheus.NewPedanticRegistry(), http.NewServeMux()
	d.mux.Handle("POST /v1/notices/{channel}", notice.NewHandler(notice.Config{Ports: ports, Pool: d.DB.Pool, Recharges: d.orders,
		Client: d.client, Registerer: d.registry, Clock: d.clock}))
}

// plain is a channel that speaks plainly: a body is the notice, or names what is wrong with it.
type plain struct {
	channel.Refunder
	channel.PaymentQuerier
}

// words are the body of a plain message.
type words struct {
	Problem string // a key of problems
	Notice  channel.Notice
}

// problems are what a port finds in a message that is no notice.
var problems = map[string]error{"not_genuine": channel.ErrNotGenuine, "probe": channel.ErrProbe, "stale": channel.ErrStale,
	"other_rule": fmt.Errorf("%w: %w", channel.ErrNotGenuine, channel.ErrOtherRule),
	"malformed":  channel.ErrMalformed, "not_ours": channel.ErrNotOurs, "failed": errors.New("a bug")}

// ReadNotice implements channel.Port.
func (plain) ReadNotice(_ http.Header, body []byte, _ time.Time) (channel.Notice, error) {
	var said words
	if err := json.Unmarshal(body, &said); err != nil {
		return channel.Notice{}, fmt.Errorf("%w: %w", channel.ErrMalformed, err)
	}
	if said.Problem == "panic" {
		panic("the port has a bug")
	}
	if problem, wrong := problems[said.Problem]; wrong {
		return channel.Notice{}, fmt.Errorf("read: %w", problem)
	}
	return said.Notice, nil
}

// Reply implements channel.Port.
func (plain) Reply(problem error, _ time.Time) channel.Reply {
	if problem != nil {
		return channel.Reply{Status: http.StatusServiceUnavailable, ContentType: "text/plain", Body: []byte("again")}
	}
	return channel.Reply{Status: http.StatusOK, ContentType: "text/plain", Body: []byte("done")}
}

// send delivers a message and returns the answer.
func (d *door) send(ctx context.Context, path string, header http.Header, body io.Reader) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/notices/"+path, body)
	maps.Copy(request.Header, header)
	answer := httptest.NewRecorder()
	d.mux.ServeHTTP(answer, request)
	return answer
}

// tell delivers a notice in a plain channel's words and says whether the channel takes the answer for success.
func (d *door) tell(t *testing.T, n channel.Notice) bool {
	t.Helper()
	body, err := json.Marshal(words{Notice: n})
	if err != nil {
		t.Fatal(err)
	}
	answer := d.send(t.Context(), string(n.Channel), nil, bytes.NewReader(body))
	if said := answer.Body.String(); (said == "done") != (answer.Code == http.StatusOK) {
		t.Fatalf("answer %d %q", answer.Code, said)
	}
	return answer.Code == http.StatusOK
}

// done delivers a notice that must be acknowledged.
func (d *door) done(t *testing.T, n channel.Notice) {
	t.Helper()
	if !d.tell(t, n) {
		t.Fatalf("%+v is not acknowledged", n)
	}
}

// order opens a recharge order of 100.00 by WeChat Pay for a user.
func (d *door) order(t *testing.T, id, user string) recharge.Order {
	t.Helper()
	order, _, err := d.orders.Open(t.Context(), "shop", tasks.RechargeOrder{RechargeID: id, UserID: user, Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("100.00")})
	if err != nil {
		t.Fatal(err)
	}
	return order
}

// paid is the notice of a payment of an order, made a minute after noon.
func paid(order recharge.Order, txn string) channel.Notice {
	return channel.Notice{Channel: order.Channel, Event: channel.EventPaid, ID: "EV-" + txn, MerchantID: "m", OutTradeNo: order.OutTradeNo,
		ChannelTxnID: txn, Amount: order.Amount, OccurredAt: ledgertest.Noon.Add(time.Minute)}
}

const outstandingSQL = "SELECT book, request_id FROM pending WHERE state = 'accepted' ORDER BY request_id"

// settle applies all that is outstanding, until nothing is.
func (d *door) settle(t *testing.T) {
	t.Helper()
	for {
		rows, err := d.DB.Pool.Query(t.Context(), outstandingSQL)
		if err != nil {
			t.Fatal(err)
		}
		var book int
		var id uuid.UUID
		var receipts []tasks.Receipt
		if _, err := pgx.ForEachRow(rows, []any{&book, &id}, func() error {
			receipts = append(receipts, tasks.Receipt{Book: book, ID: id})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(receipts) == 0 {
			return
		}
		d.Apply(t, receipts...)
	}
}

// expect settles and compares what users' cash and the suspense of WeChat Pay hold.
func (d *door) expect(t *testing.T, yuan map[ledger.AccountName]string) {
	t.Helper()
	d.settle(t)
	for name, want := range yuan {
		d.Expect(t, name, want)
	}
}

const (
	cash     = ledger.AccountName("user/u1/cash")
	suspense = ledger.AccountName("suspense/wechat")
)

const casesSQL = "SELECT kind, account, amount_fen, detail FROM cases ORDER BY request_id"

type openedCase struct {
	Kind, Account string
	Fen           int64
	Detail        string
}

func (d *door) cases(t *testing.T) []openedCase {
	t.Helper()
	rows, err := d.DB.Pool.Query(t.Context(), casesSQL)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[openedCase])
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// counted are the results that were counted since the last restart, summed over channels.
func (d *door) counted(t *testing.T) map[string]int {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, family := range families {
		if family.GetName() != "settled_intake_notices_total" {
			continue
		}
		for _, series := range family.GetMetric() {
			if n := int(series.GetCounter().GetValue()); n > 0 {
				got[series.GetLabel()[1].GetValue()] += n // channel, result
			}
		}
	}
	return got
}

// expectCounted compares what was counted.
func (d *door) expectCounted(t *testing.T, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, d.counted(t)); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func (d *door) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := d.DB.Pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
