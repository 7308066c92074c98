package postgres_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// Orders that were opened before there were inquiries are asked about, unless they are paid or long past.
func TestOrdersOfTheVersionBeforeAreInquiredAbout(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	if err := postgres.MigrateFrom(t.Context(), db.URL, migrationsBefore(t, "00015"), postgres.MigrateOptions{Books: 1}); err != nil {
		t.Fatal(err)
	}
	for id, expired := range map[string]string{"open": "-1 hour", "expired": "2 days", "paid": "-1 hour", "past": "4 days"} {
		if _, err := db.Owner.Exec(t.Context(), `INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer,
			created_at, expires_at) VALUES (0, $1, 'u1', 'alipay', 100, 'RC000000' || $1, 'shop', now() - interval '5 days',
			now() - $2::text::interval)`, id, expired); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Owner.Exec(t.Context(), `INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
		VALUES (0, gen_random_uuid(), 'recharge:confirm', 'paid', '{}', 'shop', now(), now())`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Owner.Query(t.Context(), `SELECT recharge_id FROM recharge_inquiries WHERE channel = 'alipay' AND due_at = try_at AND
		due_at BETWEEN now() - interval '1 minute' AND now() ORDER BY recharge_id`)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(ids, []string{"expired", "open"}) {
		t.Errorf("inquired about %q, %v", ids, err)
	}
}

// An API of the version before opens orders in its own words, also after the migration.
func TestOrdersThatAnAPIOfTheVersionBeforeOpensAreInquiredAbout(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer,
		created_at, expires_at) VALUES (0, 'rc1', 'u1', 'alipay', 100, 'RC00000001', 'shop', now(), now() + interval '2 hours')`); err != nil {
		t.Fatal(err)
	}
	var due bool
	if err := db.Owner.QueryRow(t.Context(), `SELECT i.channel = 'alipay' AND i.due_at = o.created_at + interval '5 minutes' AND i.try_at = i.due_at
		FROM recharge_inquiries i JOIN recharge_orders o USING (recharge_id)`).Scan(&due); err != nil || !due {
		t.Errorf("inquired about as it should %v, %v", due, err)
	}
}
