package pguuid

import (
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// Array is ids as an argument of type uuid[].
func Array(ids []uuid.UUID) pgtype.FlatArray[pgtype.UUID] {
	array := make(pgtype.FlatArray[pgtype.UUID], len(ids))
	for i, id := range ids {
		array[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	return array
}

// Into is a target for scanning a column of type uuid that is never null.
func Into(id *uuid.UUID) *Target { return &Target{id: id} }

// Target receives one UUID.
type Target struct{ id *uuid.UUID }

var errNull = errors.New("uuid is null")

// ScanUUID implements pgtype.UUIDScanner. It fails for null.
func (t *Target) ScanUUID(v pgtype.UUID) error {
	if !v.Valid {
		return errNull
	}
	*t.id = v.Bytes
	return nil
}
