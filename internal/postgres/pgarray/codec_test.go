package pgarray_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/internal/postgres/pgarray"
)

// TestArraysAreEncodedAsPgxEncodesThem compares byte for byte. The null flag may differ: it only says that nulls may come.
func TestArraysAreEncodedAsPgxEncodesThem(t *testing.T) {
	t.Parallel()
	stock, short := pgtype.NewMap(), pgtype.NewMap()
	pgarray.Register(short)
	pgarray.Register(short) // again is harmless
	same := func(t *rapid.T, oid uint32, value any) {
		want, err := stock.Encode(oid, pgtype.BinaryFormatCode, value, []byte{7})
		if err != nil {
			t.Fatal(err)
		}
		got, err := short.Encode(oid, pgtype.BinaryFormatCode, value, []byte{7})
		if err != nil {
			t.Fatal(err)
		}
		if len(want) > 8 {
			copy(got[5:9], want[5:9])
		}
		if !bytes.Equal(want, got) || (want == nil) != (got == nil) {
			t.Fatalf("%T %v:\npgx %x\nwe  %x", value, value, want, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		fens := rapid.SliceOf(rapid.Int64()).Draw(t, "bigints")
		nullable := make([]*int64, len(fens))
		for i := range fens {
			if fens[i]%3 != 0 {
				nullable[i] = &fens[i]
			}
		}
		ids := make(pgtype.FlatArray[pgtype.UUID], len(fens))
		for i := range ids {
			ids[i] = pgtype.UUID{Bytes: [16]byte{byte(i), 1}, Valid: fens[i]%5 != 0}
		}
		same(t, pgtype.Int8ArrayOID, fens)
		same(t, pgtype.Int8ArrayOID, nullable)
		same(t, pgtype.TextArrayOID, rapid.SliceOf(rapid.String()).Draw(t, "texts"))
		same(t, pgtype.UUIDArrayOID, ids)
		same(t, pgtype.Int8ArrayOID, []int64(nil))
		same(t, pgtype.Int8ArrayOID, []*int64(nil))
		same(t, pgtype.TextArrayOID, []string(nil))
		same(t, pgtype.UUIDArrayOID, pgtype.FlatArray[pgtype.UUID](nil))
		same(t, pgtype.DateArrayOID, []string(nil))
		same(t, pgtype.Int8ArrayOID, []int32{1, 2}) // left to pgx
		same(t, pgtype.DateArrayOID, []time.Time{{}})
	})
}

func TestDatesInTextAreEncodedAsPgxEncodesTimes(t *testing.T) {
	t.Parallel()
	types := pgtype.NewMap()
	pgarray.Register(types)
	encode := func(t interface{ Fatal(...any) }, value any) []byte {
		buf, err := types.Encode(pgtype.DateArrayOID, pgtype.BinaryFormatCode, value, nil)
		if err != nil {
			t.Fatal(err)
		}
		clear(buf[4:8]) // the null flag
		return buf
	}
	rapid.Check(t, func(t *rapid.T) {
		var times []time.Time
		var texts []string
		for _, day := range rapid.SliceOf(rapid.IntRange(-719162, 2932896)).Draw(t, "days of 0001 to 9999") {
			at := time.Unix(0, 0).UTC().AddDate(0, 0, day)
			times, texts = append(times, at), append(texts, at.Format(time.DateOnly))
		}
		if times == nil {
			return
		}
		if want, got := encode(t, times), encode(t, texts); !bytes.Equal(want, got) {
			t.Fatalf("%v:\npgx %x\nwe  %x", texts, want, got)
		}
	})
	for _, wrong := range []string{"", "2026-2-30", "2026-02-30", "infinity", "0000-01-01", "2026-03-02 "} {
		if buf, err := types.Encode(pgtype.DateArrayOID, pgtype.BinaryFormatCode, []string{wrong}, nil); err == nil {
			t.Errorf("%q is encoded as %x", wrong, buf)
		}
	}
}
