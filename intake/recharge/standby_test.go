package recharge_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// Without an answer from a synchronous standby a commit waits, and is there for everybody to read once the wait is cut short.
func TestOrderIsNotToldBeforeTheStandbyHasIt(t *testing.T) {
	t.Parallel()
	_, db := pgtest.NewPrivate(t)
	ledgertest.Audit(t, db)
	orders := recharge.NewOrders(db.Pool, 4, clock.NewManual(ledgertest.Noon))
	outlasting := context.WithoutCancel(t.Context())
	awaitStandby := func(name string) {
		t.Helper()
		for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + name + "'", "SELECT pg_reload_conf()"} {
			if _, err := db.Owner.Exec(outlasting, sql); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the setting counts", db, "SELECT current_setting('synchronous_standby_names') = $1", name)
	}
	soon := func(call func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return call(ctx)
	}
	openOrder := func(ctx context.Context) error { _, _, err := orders.Open(ctx, "shop", asked(nil)); return err }
	closeOrder := func(ctx context.Context) error { _, err := orders.Close(ctx, "rc1"); return err }
	cutShort := func(what, sql string) {
		t.Helper()
		eventually(t, what, db, "WITH waits AS (SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep') "+
			"SELECT waits.count = 0 AND ("+sql+") FROM waits")
	}
	awaitStandby("nobody")
	defer awaitStandby("")
	commit := func(ctx context.Context) error { _, err := db.Pool.Exec(ctx, tasks.ConfirmSQL); return err }
	for soon(commit) == nil { // commits do not wait at once
	}
	for range 2 {
		if err := soon(openOrder); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("an order that nobody has confirmed: %v", err)
		}
		cutShort("the order is there", "SELECT count(*) = 1 FROM recharge_orders")
	}
	for range 2 {
		if err := soon(closeOrder); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("an end that nobody has confirmed: %v", err)
		}
		cutShort("the order is closed", "SELECT count(*) = 1 FROM recharge_orders WHERE closed_at IS NOT NULL")
	}
	awaitStandby("")
	for what, call := range map[string]func(context.Context) error{"open": openOrder, "close": closeOrder} {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s again: %v", what, err)
		}
	}
}

// eventually asks until a query says true.
func eventually(t *testing.T, what string, db *pgtest.Database, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	for is := false; !is; {
		if err := db.Owner.QueryRow(ctx, sql, args...).Scan(&is); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
