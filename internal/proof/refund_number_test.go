package proof_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

// The numbers are made in Go and found in SQL.
func TestRefundNumbersAreTheSameInPostgreSQL(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ref := tasks.CaseRef{Book: 3, Request: uuid.MustParse("019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11"), Ordinal: 2}
	var first, again string
	if err := db.Pool.QueryRow(t.Context(), "SELECT refund_number($1, $2), return_number($3::smallint, $4::uuid, $5::smallint)", `r\1-ü`, "4",
		ref.Book, ref.Request, ref.Ordinal).Scan(&first, &again); err != nil {
		t.Fatal(err)
	}
	if first != refund.Number(`r\1-ü`, 4) || again != wallet.ReturnNumber(ref.String()) {
		t.Errorf("refund_number %s, return_number %s; want %s, %s", first, again, refund.Number(`r\1-ü`, 4), wallet.ReturnNumber(ref.String()))
	}
}
