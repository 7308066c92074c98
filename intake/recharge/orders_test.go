package recharge_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// till are the orders of a test's own books, by a clock of its own that stands at noon.
type till struct {
	*ledgertest.Books
	*recharge.Orders
	clock *clock.Manual
}

func open(t *testing.T) till {
	t.Helper()
	books, now := ledgertest.Open(t), clock.NewManual(ledgertest.Noon)
	return till{books, recharge.NewOrders(books.DB.Pool, books.Client.Books(), now), now}
}

func asked(change func(*tasks.RechargeOrder)) tasks.RechargeOrder {
	order := tasks.RechargeOrder{RechargeID: "rc1", UserID: "u1", Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("100.00")}
	if change != nil {
		change(&order)
	}
	return order
}

func (o till) open(t *testing.T, order tasks.RechargeOrder) recharge.Order {
	t.Helper()
	got, _, err := o.Open(t.Context(), "shop", order)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (o till) stored(t *testing.T) (count int) {
	t.Helper()
	if err := o.DB.Pool.QueryRow(t.Context(), "SELECT count(*) FROM recharge_orders").Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

func TestOrderIsOpenedWithANumberThatEveryChannelTakes(t *testing.T) {
	t.Parallel()
	o := open(t)
	got, opened, err := o.Open(t.Context(), "shop", asked(nil))
	want := recharge.Order{RechargeID: "rc1", UserID: "u1", Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("100.00"),
		OutTradeNo: got.OutTradeNo, State: recharge.StateOpen, CreatedAt: ledgertest.Noon, ExpiresAt: ledgertest.Noon.Add(2 * time.Hour),
		Producer: "shop"}
	if diff := cmp.Diff(want, got); diff != "" || !opened || err != nil {
		t.Fatalf("opened %v, %v (-want +got):\n%s", opened, err, diff)
	}
	if !regexp.MustCompile(`^[0-9A-Z]{24,32}$`).MatchString(got.OutTradeNo) {
		t.Errorf("the number is %q", got.OutTradeNo)
	}
	if other := o.open(t, asked(func(a *tasks.RechargeOrder) { a.RechargeID = "rc2" })); other.OutTradeNo == got.OutTradeNo {
		t.Error("two orders have one number")
	}
	if found, err := o.Find(t.Context(), "rc1"); err != nil || !cmp.Equal(want, found) {
		t.Errorf("found %+v, %v", found, err)
	}
}

// Of the duplicates that there may be, the order's own id alone means that somebody has opened it. Any other is an error, and leaves the id
// free: the next try gets another number.
func TestNumberThatIsTakenIsAnErrorAndTakesNoID(t *testing.T) {
	t.Parallel()
	o := open(t)
	number := o.open(t, asked(nil)).OutTradeNo
	if _, err := o.DB.Owner.Exec(t.Context(), `CREATE FUNCTION draw_the_same() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN NEW.out_trade_no := '`+number+`'; RETURN NEW; END $$;
		CREATE TRIGGER same_number BEFORE INSERT ON recharge_orders FOR EACH ROW EXECUTE FUNCTION draw_the_same()`); err != nil {
		t.Fatal(err)
	}
	other := asked(func(a *tasks.RechargeOrder) { a.RechargeID = "rc2" })
	_, _, err := o.Open(t.Context(), "shop", other)
	if postgres.Constraint(err) != "recharge_order_has_a_number_of_its_own" {
		t.Errorf("%v, want the constraint of numbers", err)
	}
	if _, err := o.DB.Owner.Exec(t.Context(), "DROP TRIGGER same_number ON recharge_orders"); err != nil {
		t.Fatal(err)
	}
	if _, opened, err := o.Open(t.Context(), "shop", other); err != nil || !opened {
		t.Errorf("afterwards the order is opened: %v, %v", opened, err)
	}
}

func TestOrderThatIsOpenedAgainIsTheSame(t *testing.T) {
	t.Parallel()
	o := open(t)
	first := o.open(t, asked(nil))
	o.clock.Advance(90 * time.Minute)
	explicit := asked(func(a *tasks.RechargeOrder) { a.ExpiresAt = first.ExpiresAt.In(clock.Shanghai) })
	for _, again := range []tasks.RechargeOrder{asked(nil), explicit} {
		if got, opened, err := o.Open(t.Context(), "shop", again); err != nil || opened || !cmp.Equal(first, got) {
			t.Errorf("again: %+v, opened %v, %v", got, opened, err)
		}
	}
	o.clock.Advance(time.Hour) // an order of the past is still the same order
	if got, opened, err := o.Open(t.Context(), "shop", explicit); err != nil || opened || got.State != recharge.StateExpired {
		t.Errorf("after its time: %+v, opened %v, %v", got, opened, err)
	}
}

func TestOfManyWhoOpenAtOnceOneIsFirstAndAllHaveOneNumber(t *testing.T) {
	t.Parallel()
	o := open(t)
	const many = 40
	numbers, firsts := make([]string, many), make([]bool, many)
	var running sync.WaitGroup
	for i := range many {
		running.Go(func() {
			got, first, err := o.Open(t.Context(), "shop", asked(nil))
			if err != nil {
				t.Error(err)
			}
			numbers[i], firsts[i] = got.OutTradeNo, first
		})
	}
	running.Wait()
	count := 0
	for i := range many {
		if firsts[i] {
			count++
		}
		if numbers[i] != numbers[0] || numbers[i] == "" {
			t.Errorf("numbers %q and %q", numbers[i], numbers[0])
		}
	}
	if count != 1 || o.stored(t) != 1 {
		t.Errorf("%d were first, %d are stored", count, o.stored(t))
	}
}

func TestIDOfAnotherOrderIsAConflictThatNamesTheFields(t *testing.T) {
	t.Parallel()
	o := open(t)
	first := o.open(t, asked(nil))
	for name, c := range map[string]struct {
		producer string
		change   func(*tasks.RechargeOrder)
		fields   []tasks.Diff
	}{
		"amount":  {"shop", func(a *tasks.RechargeOrder) { a.Amount = ledgertest.Yuan("100.01") }, []tasks.Diff{{Field: "amount", Stored: `"100.00"`, Asked: `"100.01"`}}},
		"channel": {"shop", func(a *tasks.RechargeOrder) { a.Channel = tasks.SourceECNY }, []tasks.Diff{{Field: "channel", Stored: `"wechat"`, Asked: `"ecny"`}}},
		"user":    {"shop", func(a *tasks.RechargeOrder) { a.UserID = "u2" }, []tasks.Diff{{Field: "user_id", Stored: `"u1"`, Asked: `"u2"`}}},
		"expiry": {"shop", func(a *tasks.RechargeOrder) { a.ExpiresAt = ledgertest.Noon.Add(time.Hour) },
			[]tasks.Diff{{Field: "expires_at", Stored: `"2026-03-02T06:00:00Z"`, Asked: `"2026-03-02T05:00:00Z"`}}},
		"producer": {"till", func(*tasks.RechargeOrder) {}, []tasks.Diff{{Field: "recharge_id", Stored: "another producer's", Asked: `"rc1"`}}},
		"two": {"shop", func(a *tasks.RechargeOrder) { a.UserID, a.Amount = "u2", ledgertest.Yuan("1.00") },
			[]tasks.Diff{{Field: "amount", Stored: `"100.00"`, Asked: `"1.00"`}, {Field: "user_id", Stored: `"u1"`, Asked: `"u2"`}}},
	} {
		_, opened, err := o.Open(t.Context(), c.producer, asked(c.change))
		var conflict *recharge.ConflictError
		if !errors.As(err, &conflict) || opened || conflict.Stored.OutTradeNo != first.OutTradeNo {
			t.Errorf("%s: opened %v, %v, want a conflict", name, opened, err)
			continue
		}
		if diff := cmp.Diff(c.fields, conflict.Fields); diff != "" || !strings.Contains(err.Error(), c.fields[0].Field) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	if found, err := o.Find(t.Context(), "rc1"); err != nil || !cmp.Equal(first, found) {
		t.Errorf("the order is %+v, %v", found, err)
	}
}

func TestOrdersThatAreNotAllowedAreRefusedByTheField(t *testing.T) {
	t.Parallel()
	o := open(t)
	for name, c := range map[string]struct {
		field  string
		change func(*tasks.RechargeOrder)
	}{
		"no id":                 {"recharge_id", func(a *tasks.RechargeOrder) { a.RechargeID = "" }},
		"an id with a slash":    {"recharge_id", func(a *tasks.RechargeOrder) { a.RechargeID = "a/b" }},
		"no user":               {"user_id", func(a *tasks.RechargeOrder) { a.UserID = "" }},
		"a balance":             {"channel", func(a *tasks.RechargeOrder) { a.Channel = tasks.SourceCash }},
		"nothing":               {"amount", func(a *tasks.RechargeOrder) { a.Amount = ledgertest.Yuan("0") }},
		"less than nothing":     {"amount", func(a *tasks.RechargeOrder) { a.Amount = ledgertest.Yuan("-1") }},
		"a time that has come":  {"expires_at", func(a *tasks.RechargeOrder) { a.ExpiresAt = ledgertest.Noon }},
		"a time that comes now": {"expires_at", func(a *tasks.RechargeOrder) { a.ExpiresAt = ledgertest.Noon.Add(time.Minute - 1) }},
		"a time too far":        {"expires_at", func(a *tasks.RechargeOrder) { a.ExpiresAt = ledgertest.Noon.Add(24*time.Hour + time.Second) }},
		"a time of no calendar": {"expires_at", func(a *tasks.RechargeOrder) { a.ExpiresAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }},
	} {
		_, _, err := o.Open(t.Context(), "shop", asked(c.change))
		var refused *tasks.FieldError
		if !errors.As(err, &refused) || refused.Field != c.field || refused.Allowed == "" {
			t.Errorf("%s: %v, want it refused for %s", name, err, c.field)
		}
	}
	var refused *tasks.FieldError
	if _, _, err := o.Open(t.Context(), "", asked(nil)); !errors.As(err, &refused) || refused.Field != "producer" {
		t.Errorf("no producer: %v", err)
	}
	if n := o.stored(t); n != 0 {
		t.Errorf("%d orders are stored", n)
	}
}

func TestRechargeThatWasConfirmedWithoutAnOrderGetsNone(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.Accept(t, ledgertest.Recharge("rc1", "u1", "100.00"))
	_, opened, err := o.Open(t.Context(), "shop", asked(nil))
	if refused := (*tasks.FieldError)(nil); !errors.As(err, &refused) || refused.Field != "recharge_id" || opened {
		t.Errorf("opened %v, %v", opened, err)
	}
	if count := o.stored(t); count != 0 {
		t.Errorf("%d orders are stored", count)
	}
}

func TestOrderExpiresWhenItsTimeHasPassed(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.open(t, asked(func(a *tasks.RechargeOrder) { a.ExpiresAt = ledgertest.Noon.Add(time.Minute) }))
	for after, want := range map[time.Duration]recharge.State{
		0: recharge.StateOpen, time.Minute: recharge.StateOpen, time.Minute + time.Microsecond: recharge.StateExpired,
	} {
		o.clock.Set(ledgertest.Noon.Add(after))
		if got, err := o.Find(t.Context(), "rc1"); err != nil || got.State != want {
			t.Errorf("after %s it is %s (%v), want %s", after, got.State, err, want)
		}
	}
}

func TestClosedOrderStaysAsItWasClosedFirst(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.open(t, asked(nil))
	closedAt := ledgertest.Noon.Add(time.Minute)
	for _, at := range []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Hour} {
		o.clock.Set(ledgertest.Noon.Add(at))
		got, err := o.Close(t.Context(), "rc1")
		if err != nil || got.State != recharge.StateClosed || got.ClosedAt == nil || !got.ClosedAt.Equal(closedAt) {
			t.Errorf("closed %s after noon: %+v, %v", at, got, err)
		}
	}
	if _, err := o.Close(t.Context(), "rc2"); !errors.Is(err, recharge.ErrNotFound) {
		t.Errorf("an order that is not there: %v", err)
	}
}

func TestPaidOrderCannotBeClosed(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.open(t, asked(nil))
	o.Hear(t, ledgertest.Recharge("rc1", "u1", "100.00"))
	o.clock.Advance(3 * time.Hour)
	for range 2 {
		got, err := o.Close(t.Context(), "rc1")
		if !errors.Is(err, recharge.ErrPaid) || got.State != recharge.StatePaid || got.ClosedAt != nil || got.ChannelTxnID != "wx-rc1" {
			t.Errorf("closed %+v, %v, want it refused as paid", got, err)
		}
	}
}

func TestOrderWhosePaymentWasRejectedIsNotCalledPaid(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.open(t, asked(nil))
	other := ledgertest.Recharge("rc0", "u1", "100.00")
	other.ChannelTxnID = "wx-rc1"
	ledgertest.Applied(t, o.Do(t, other)...)
	accepted := o.Hear(t, ledgertest.Recharge("rc1", "u1", "100.00"))
	if got, err := o.Find(t.Context(), "rc1"); err != nil || got.State != recharge.StatePaid {
		t.Errorf("before it is decided: %+v, %v", got, err)
	}
	ledgertest.RejectedFor(t, o.Apply(t, accepted...)[0], tasks.ChannelPaymentUsed)
	got, err := o.Close(t.Context(), "rc1")
	if !errors.Is(err, recharge.ErrRejected) || got.State != recharge.StateRejected || got.ClosedAt != nil || got.ChannelTxnID != "wx-rc1" {
		t.Errorf("closed %+v, %v, want it refused as rejected", got, err)
	}
	if again, _, err := o.Open(t.Context(), "shop", asked(nil)); err != nil || again.State != recharge.StateRejected {
		t.Errorf("opened again: %+v, %v", again, err)
	}
}

func TestPaymentIsInTimeWhenItWasMadeWhileTheOrderWasOpen(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return ledgertest.Noon.Add(time.Duration(minutes) * time.Minute) }
	closedAt := at(30)
	for name, c := range map[string]struct {
		closedAt *time.Time
		paidAt   time.Time
		want     bool
	}{
		"open":                {nil, at(10), true},
		"at the last moment":  {nil, at(60), true},
		"after the last":      {nil, at(60).Add(time.Microsecond), false},
		"before it is closed": {&closedAt, at(29), true},
		"as it is closed":     {&closedAt, at(30), true},
		"after it is closed":  {&closedAt, at(31), false},
	} {
		order := recharge.Order{ExpiresAt: at(60), ClosedAt: c.closedAt}
		if got := order.InTime(c.paidAt); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestTraceTellsWhatIsStoredOfAPaymentAndItsOrder(t *testing.T) {
	t.Parallel()
	o := open(t)
	order := o.open(t, asked(nil))
	trace := func(txn, number string) recharge.Trace {
		t.Helper()
		got, err := o.Trace(t.Context(), tasks.SourceWeChat, txn, number)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := trace("wx-rc1", "RC00000000"); !cmp.Equal(got, recharge.Trace{}) {
		t.Errorf("of nothing: %+v", got)
	}
	if got := trace("wx-rc1", order.OutTradeNo); !cmp.Equal(got, recharge.Trace{Order: &order}) {
		t.Errorf("of an order: %+v", got)
	}
	confirm := ledgertest.Recharge("rc1", "u1", "100.00")
	suspension := &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: "t2", OutTradeNo: "RC00000000", Amount: ledgertest.Yuan("5.00"),
		Cause: tasks.UnknownOrder, OccurredAt: ledgertest.Noon}
	receipts := o.Hear(t, confirm, suspension, ledgertest.Recharge("other", "u2", "7.00"))
	paid := order
	paid.State, paid.ChannelTxnID = recharge.StatePaid, "wx-rc1"
	for range 2 { // accepted, then applied
		want := recharge.Trace{Order: &paid, Confirmed: confirm}
		if got := trace("wx-rc1", order.OutTradeNo); !cmp.Equal(got, want) || !got.ConfirmedBy(tasks.SourceWeChat, "wx-rc1") ||
			got.ConfirmedBy(tasks.SourceAlipay, "wx-rc1") {
			t.Errorf("of its payment: %s", cmp.Diff(want, got))
		}
		want.Suspended = suspension
		if got := trace("t2", order.OutTradeNo); !cmp.Equal(got, want) || got.ConfirmedBy(tasks.SourceWeChat, "t2") {
			t.Errorf("of a suspended payment: %s", cmp.Diff(want, got))
		}
		o.Apply(t, receipts...)
	}
	if got := trace("wx-other", order.OutTradeNo); !got.Used {
		t.Errorf("of a payment that has funded something else: %+v", got)
	}
}

// Payments that are traced together answer for themselves: one whose number PostgreSQL cannot even read spoils no other.
func TestPaymentsThatAreTracedTogetherAnswerForThemselves(t *testing.T) {
	t.Parallel()
	o := open(t)
	const many = 60
	orders := make([]recharge.Order, many)
	for i := range many {
		orders[i] = o.open(t, asked(func(a *tasks.RechargeOrder) { a.RechargeID = fmt.Sprint("rc", i) }))
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	var running sync.WaitGroup
	for i := range many {
		running.Go(func() {
			got, err := o.Trace(t.Context(), tasks.SourceWeChat, fmt.Sprint("t", i), orders[i].OutTradeNo)
			if err != nil || got.Order == nil || got.Order.RechargeID != orders[i].RechargeID {
				t.Errorf("%d: %+v, %v", i, got.Order, err)
			}
		})
		running.Go(func() {
			if _, err := o.Trace(t.Context(), tasks.SourceWeChat, "t", "no\x00number"); !postgres.IsContent(err) {
				t.Errorf("a number that cannot be one: %v", err)
			}
		})
		running.Go(func() {
			if _, err := o.Trace(gone, tasks.SourceWeChat, "t", "RC00000000"); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("a caller who has left: %v", err)
			}
		})
	}
	running.Wait()
}

// A plan is made while tables are small and kept while they grow: it must find everything by whole keys from the start.
func TestPaymentsAreTracedByKeys(t *testing.T) {
	t.Parallel()
	o := open(t)
	rows, err := o.DB.Pool.Query(t.Context(), "EXPLAIN "+recharge.TracePaymentsSQL, []string{"wechat"}, []string{"t1"}, []string{"RC1"})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	for _, condition := range []string{
		"Index Cond: (out_trade_no = asked.out_trade_no)",
		"Index Cond: ((kind = 'recharge:confirm'::text) AND (key = recharge_orders.recharge_id))",
		"Index Cond: ((kind = 'recharge:suspend'::text) AND (key = ((asked.channel || '/'::text) || asked.channel_txn_id)))",
		"Index Cond: ((channel = asked.channel) AND (channel_txn_id = asked.channel_txn_id))",
	} {
		if !strings.Contains(plan, condition) {
			t.Errorf("the plan has no %s:\n%s", condition, plan)
		}
	}
}
