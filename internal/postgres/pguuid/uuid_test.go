package pguuid_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/postgres/pguuid"
)

func TestUUIDsComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	sent := []uuid.UUID{uuid.New(), uuid.Nil, uuid.Max}
	rows, err := db.Pool.Query(t.Context(), "SELECT unnest($1::uuid[])", pguuid.Array(sent))
	if err != nil {
		t.Fatal(err)
	}
	var got []uuid.UUID
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id)}, func() error {
		got = append(got, id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("sent and received differ:\n%s", diff)
	}
}

func TestANullIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	var id uuid.UUID
	if err := db.Pool.QueryRow(t.Context(), "SELECT NULL::uuid").Scan(pguuid.Into(&id)); err == nil {
		t.Error("a null was scanned into an id")
	}
}
