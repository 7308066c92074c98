package intake_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	recharges "github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func rechargeOrder(id, user, yuan string) string {
	return fmt.Sprintf(`{"recharge_id":%q,"user_id":%q,"channel":"wechat","amount":%q}`, id, user, yuan)
}

func (d door) openOrder(t *testing.T, body string) answer {
	t.Helper()
	return d.do(t, http.MethodPost, "/v1/recharge-orders", strings.NewReader(body))
}

func (a answer) order(t *testing.T, status int) intake.RechargeOrderRecord {
	t.Helper()
	var order intake.RechargeOrderRecord
	a.decode(t, &order)
	if a.status != status {
		t.Fatalf("answer %d %s, want %d", a.status, a.body, status)
	}
	return order
}

func TestRechargeOrderIsOpenedOnceAndTellsItsNumber(t *testing.T) {
	t.Parallel()
	d := open(t)
	first := d.openOrder(t, rechargeOrder("rc1", "u1", "100"))
	order := first.order(t, http.StatusCreated)
	if order.OutTradeNo == "" || order.State != recharges.StateOpen || order.Amount.String() != "100.00" ||
		first.header.Get("Location") != "/v1/recharge-orders/rc1" {
		t.Errorf("answer %s at %q", first.body, first.header.Get("Location"))
	}
	for name, again := range map[string]answer{
		"opened again": d.openOrder(t, rechargeOrder("rc1", "u1", "100.00")),
		"looked up":    d.do(t, http.MethodGet, first.header.Get("Location"), nil),
	} {
		if diff := cmp.Diff(order, again.order(t, http.StatusOK)); diff != "" {
			t.Errorf("%s (-first +now):\n%s", name, diff)
		}
	}
	problem := d.openOrder(t, rechargeOrder("rc1", "u1", "100.01")).problem(t, http.StatusConflict)
	if diff := cmp.Diff([]tasks.Diff{{Field: "amount", Stored: `"100.00"`, Asked: `"100.01"`}}, problem.Fields); diff != "" {
		t.Errorf("conflict (-want +got):\n%s", diff)
	}
}

func TestRechargeOrderIsRefusedByTheField(t *testing.T) {
	t.Parallel()
	d := open(t)
	for body, field := range map[string]string{
		rechargeOrder("rc1", "u1", "0"):        "amount",
		rechargeOrder("rc1", "a/b", "1.00"):    "user_id",
		`{"recharge_id":"rc1","user_id":"u1"}`: "channel",
		"[]":                                   "payload",
		strings.Replace(rechargeOrder("rc1", "u1", "1.00"), "{", `{"expires_at":"2020-01-01T00:00:00Z",`, 1): "expires_at",
		strings.Replace(rechargeOrder("rc1", "u1", "1.00"), "{", `{"expires_at":"0001-01-01T00:00:00Z",`, 1): "expires_at",
		strings.Replace(rechargeOrder("rc1", "u1", "1.00"), "{", `{"expires_at":"9999-01-01T00:00:00Z",`, 1): "expires_at",
		strings.Replace(rechargeOrder("rc1", "u1", "1.00"), "{", `{"out_trade_no":"RC00000001",`, 1):         "out_trade_no",
	} {
		if problem := d.openOrder(t, body).problem(t, http.StatusUnprocessableEntity); len(problem.Errors) != 1 || problem.Errors[0].Field != field {
			t.Errorf("%s: %+v, want it refused for %s", body, problem, field)
		}
	}
	d.openOrder(t, rechargeOrder("rc1", "u1", "1.00")+strings.Repeat(" ", 1<<20)).problem(t, http.StatusRequestEntityTooLarge)
}

func TestRechargeOrderIsClosedUnlessItIsPaid(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.openOrder(t, rechargeOrder("rc1", "u1", "100.00")).order(t, http.StatusCreated)
	d.openOrder(t, rechargeOrder("rc2", "u1", "100.00")).order(t, http.StatusCreated)
	d.Hear(t, ledgertest.Recharge("rc2", "u1", "100.00"))
	shut := func(id string) answer {
		return d.do(t, http.MethodPost, "/v1/recharge-orders/"+id+"/close", nil)
	}
	first := shut("rc1").order(t, http.StatusOK)
	if again := shut("rc1").order(t, http.StatusOK); first.State != recharges.StateClosed || !cmp.Equal(first, again) {
		t.Errorf("closed %+v, and again %+v", first, again)
	}
	if problem := shut("rc2").problem(t, http.StatusConflict); problem.Type != "urn:settled:problem:state" || !strings.Contains(problem.Detail, "wx-rc2") {
		t.Errorf("closing a paid order: %+v", problem)
	}
	if paid := d.do(t, http.MethodGet, "/v1/recharge-orders/rc2", nil).order(t, http.StatusOK); paid.State != recharges.StatePaid {
		t.Errorf("the paid order is %s", paid.State)
	}
	d.openOrder(t, rechargeOrder("rc4", "u1", "100.00")).order(t, http.StatusCreated)
	second := ledgertest.Recharge("rc4", "u1", "100.00")
	second.ChannelTxnID = "wx-rc2"
	ledgertest.Applied(t, d.Apply(t, d.Hear(t, ledgertest.Recharge("rc2", "u1", "100.00"))...)...)
	ledgertest.RejectedFor(t, d.Apply(t, d.Hear(t, second)...)[0], tasks.ChannelPaymentUsed)
	if problem := shut("rc4").problem(t, http.StatusConflict); !strings.Contains(problem.Detail, "is not paid") {
		t.Errorf("closing an order whose payment was rejected: %+v", problem)
	}
	shut("rc3").problem(t, http.StatusNotFound)
	shut("%FF").problem(t, http.StatusNotFound)
}

func TestRechargeOrdersOfAnotherProducerAreNotShown(t *testing.T) {
	t.Parallel()
	d := open(t)
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.RechargesWrite, access.Read))
	till := d.as(accesstest.Key(t, d.DB, "till", access.RechargesWrite, access.Read))
	order := shop.openOrder(t, rechargeOrder("rc1", "u1", "100.00")).order(t, http.StatusCreated)
	for _, path := range []string{"/v1/recharge-orders/rc1/close", "/v1/recharge-orders/rc1"} {
		method := http.MethodGet
		if strings.HasSuffix(path, "close") {
			method = http.MethodPost
		}
		if got := till.do(t, method, path, nil); got.status != http.StatusNotFound {
			t.Errorf("%s %s by another producer: %d %s", method, path, got.status, got.body)
		}
	}
	got := till.openOrder(t, rechargeOrder("rc1", "u9", "100.00"))
	problem := got.problem(t, http.StatusConflict)
	same := till.openOrder(t, rechargeOrder("rc1", "u1", "100.00"))
	if problem.Type != "urn:settled:problem:taken" || problem.Fields != nil || strings.Contains(string(got.body), order.OutTradeNo) {
		t.Errorf("conflict %s", got.body)
	}
	if same.status != http.StatusConflict || string(same.body) != string(got.body) {
		t.Errorf("what is the same is told from what is not: %s, %s", same.body, got.body)
	}
	reader := d.as(accesstest.Key(t, d.DB, "shop", access.Read))
	reader.openOrder(t, rechargeOrder("rc2", "u1", "1.00")).problem(t, http.StatusForbidden)
	reader.do(t, http.MethodPost, "/v1/recharge-orders/rc1/close", nil).problem(t, http.StatusForbidden)
	if open := d.do(t, http.MethodGet, "/v1/recharge-orders/rc1", nil).order(t, http.StatusOK); open.State != recharges.StateOpen {
		t.Errorf("the order is %s", open.State)
	}
}

// Who may ask for recharges may not say in a channel's stead that one was paid, nor by whom.
func TestRechargeThatHasAnOrderIsConfirmedByItsChannelAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.openOrder(t, rechargeOrder("rc1", "u1", "10.00")).order(t, http.StatusCreated)
	problem := d.post(t, tasks.RechargeConfirm, recharge("rc1", "mallory", "9999.00")).problem(t, http.StatusUnprocessableEntity)
	if len(problem.Errors) != 1 || problem.Errors[0].Field != "recharge_id" {
		t.Errorf("problem %+v", problem)
	}
	many := d.do(t, http.MethodPost, "/v1/requests/recharge:confirm/bulk",
		strings.NewReader("["+recharge("rc1", "mallory", "9999.00")+","+recharge("rc2", "u2", "1.00")+"]"))
	var list intake.ListAnswer
	many.decode(t, &list)
	if len(list.Items) != 2 || list.Items[0].Status != "refused" || list.Items[1].Status != "accepted" {
		t.Errorf("answer %d %s", many.status, many.body)
	}
	var stored int
	if err := d.DB.Pool.QueryRow(t.Context(), "SELECT count(*) FROM requests WHERE key = 'rc1'").Scan(&stored); err != nil || stored != 0 {
		t.Errorf("%d requests are stored for the order (%v)", stored, err)
	}
}

func TestOrderAndConfirmationAtTheSameMomentDoNotBothSucceed(t *testing.T) {
	t.Parallel()
	d := open(t)
	var both sync.WaitGroup
	for i := range 40 {
		id := fmt.Sprintf("rc%d", i)
		var opened, confirmed answer
		both.Go(func() { opened = d.openOrder(t, rechargeOrder(id, "u1", "100.00")) })
		both.Go(func() { confirmed = d.post(t, tasks.RechargeConfirm, recharge(id, "u2", "9000.00")) })
		both.Wait()
		if (opened.status == http.StatusCreated) == (confirmed.status == http.StatusAccepted) {
			t.Errorf("%s: the order answers %d %s, the confirmation %d %s", id, opened.status, opened.body, confirmed.status, confirmed.body)
		}
	}
}

func TestOrderIsRefusedWhileItsIDsConfirmationIsCommitted(t *testing.T) {
	t.Parallel()
	d := open(t)
	tx, err := d.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE requests IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	confirmed := make(chan answer, 1)
	go func() { confirmed <- d.post(t, tasks.RechargeConfirm, recharge("rc1", "u2", "9000.00")) }()
	waits := false
	for !waits {
		if err := tx.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database b ON b.oid = l.database
			WHERE NOT l.granted AND b.datname = current_database())`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	opened := d.openOrder(t, rechargeOrder("rc1", "u1", "100.00"))
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-confirmed; got.status != http.StatusAccepted {
		t.Errorf("the confirmation answers %d %s", got.status, got.body)
	}
	opened.problem(t, http.StatusUnprocessableEntity)
}

func TestRefusedConfirmationDoesNotTakeTheID(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u2", "-1.00")).problem(t, http.StatusUnprocessableEntity)
	d.openOrder(t, rechargeOrder("rc1", "u1", "100.00")).order(t, http.StatusCreated)
}

// While a deployment rolls, an API of the version before opens orders and takes no ids.
func TestOrderOfTheVersionBeforeKeepsProducersOut(t *testing.T) {
	t.Parallel()
	d := open(t)
	if _, err := d.DB.Owner.Exec(t.Context(), `INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer,
		expires_at) VALUES ($1, 'rc1', 'u1', 'wechat', 10000, 'RC00000001', 'shop', now() + interval '1 hour')`, tasks.BookOf("u1", 4)); err != nil {
		t.Fatal(err)
	}
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u2", "9000.00")).problem(t, http.StatusUnprocessableEntity)
}
