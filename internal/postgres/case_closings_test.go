package postgres_test

import (
	"testing"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// A failed refund that its channel has paid before there were closings is closed by that revision, and no other case is.
func TestCasesOfTheVersionBeforeAreClosedIfTheirChannelHasPaid(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	if err := postgres.MigrateFrom(t.Context(), db.URL, migrationsBefore(t, "00016"), postgres.MigrateOptions{Books: 2}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		number, kind, openedBy, revision string // revision: the result of its outcome; empty when there is none, pending when it has none
	}{
		{"rf-paid", "failed_refund", "refund:answer", "applied"},
		{"rf-failed", "failed_refund", "refund:answer", ""},
		{"rf-parked", "failed_refund", "refund:answer", "pending"},
		{"rf-rejected", "failed_refund", "refund:answer", "rejected"},
		{"rf-twice", "paid_twice", "refund:revise", "itself"},
		{"wechat/t1", "unmatched_recharge", "recharge:suspend", ""},
	} {
		if _, err := db.Owner.Exec(t.Context(), `
			WITH opened AS (
				INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
				VALUES (1, gen_random_uuid(), $2, $1, '{}', 'settled', now(), now()) RETURNING id
			), decided AS (
				INSERT INTO outcomes (book, request_id, result, transfers, first_transfer, attempts, decided_at)
				SELECT 1, id, 'applied', 0, 1, 0, now() FROM opened
			), revised AS (
				INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
				SELECT 1, gen_random_uuid(), 'refund:revise', $1, '{}', 'settled', now(), now() WHERE $4 NOT IN ('', 'itself') RETURNING id
			), judged AS (
				INSERT INTO outcomes (book, request_id, result, reason, transfers, first_transfer, attempts, decided_at)
				SELECT 1, id, $4, CASE $4 WHEN 'rejected' THEN 'no' END, 0, 1, 0, now() - interval '1 day' FROM revised WHERE $4 <> 'pending'
			)
			INSERT INTO cases (book, request_id, ordinal, kind, account, amount_fen, detail, opened_at)
			SELECT 1, id, 0, $3, 'channel/wechat/refunding', 600, $1, now() - interval '2 days' FROM opened`,
			c.number, c.openedBy, c.kind, c.revision); err != nil {
			t.Fatal(c.number, err)
		}
	}
	if err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	var closings int
	var detail, by, kind, key string
	var atItsTime bool
	if err := db.Owner.QueryRow(t.Context(), `SELECT count(*) OVER (), c.detail, x.closed_by, v.kind, v.key, x.closed_at = o.decided_at
		FROM case_closings x
		JOIN cases c USING (book, request_id, ordinal)
		JOIN requests v ON v.book = x.book AND v.id = x.closing_request_id
		JOIN outcomes o ON o.book = v.book AND o.request_id = v.id`).Scan(&closings, &detail, &by, &kind, &key, &atItsTime); err != nil {
		t.Fatal(err)
	}
	if closings != 1 || detail != "rf-paid" || by != "settled" || kind != "refund:revise" || key != "rf-paid" || !atItsTime {
		t.Errorf("%d closings; %s is closed by %s, %s %s, at its time %v", closings, detail, by, kind, key, atItsTime)
	}
}
