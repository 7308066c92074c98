package pgarray

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Register gives a connection's types the short way for bigint[], text[], uuid[] and, from strings such as "2006-01-02", date[].
func Register(types *pgtype.Map) {
	for _, oid := range []uint32{pgtype.Int8ArrayOID, pgtype.TextArrayOID, pgtype.UUIDArrayOID, pgtype.DateArrayOID} {
		known, ok := types.TypeForOID(oid)
		if !ok {
			continue
		}
		if _, done := known.Codec.(codec); !done {
			types.RegisterType(&pgtype.Type{Name: known.Name, OID: oid, Codec: codec{known.Codec}})
		}
	}
}

// codec is pgx's, but for the slices below in the binary format.
type codec struct{ pgtype.Codec }

// PlanEncode implements pgtype.Codec.
func (c codec) PlanEncode(types *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case []int64:
			if oid == pgtype.Int8ArrayOID {
				return bigints{}
			}
		case []*int64:
			if oid == pgtype.Int8ArrayOID {
				return nullableBigints{}
			}
		case []string:
			switch oid {
			case pgtype.TextArrayOID:
				return texts{}
			case pgtype.DateArrayOID:
				return dates{}
			}
		case pgtype.FlatArray[pgtype.UUID]:
			if oid == pgtype.UUIDArrayOID {
				return uuids{}
			}
		}
	}
	return c.Codec.PlanEncode(types, oid, format, value)
}

// headBytes is the length of what appendHead writes.
const headBytes = 20

// appendHead writes an array's head: dimensions, whether an element may be null, the elements' type, length and lower bound. See
// array_recv in PostgreSQL's source.
func appendHead(buf []byte, n int, nulls uint32, element uint32) []byte {
	buf = binary.BigEndian.AppendUint32(buf, 1)
	buf = binary.BigEndian.AppendUint32(buf, nulls)
	buf = binary.BigEndian.AppendUint32(buf, element)
	buf = binary.BigEndian.AppendUint32(buf, uint32(n))
	return binary.BigEndian.AppendUint32(buf, 1)
}

const null = math.MaxUint32 // the length of a null element: -1

type bigints struct{}

// Encode implements pgtype.EncodePlan. A nil slice is a null array, as with pgx.
func (bigints) Encode(value any, buf []byte) ([]byte, error) {
	list := value.([]int64)
	if list == nil {
		return nil, nil
	}
	buf = appendHead(buf, len(list), 0, pgtype.Int8OID)
	for _, v := range list {
		buf = binary.BigEndian.AppendUint32(buf, 8)
		buf = binary.BigEndian.AppendUint64(buf, uint64(v))
	}
	return buf, nil
}

type nullableBigints struct{}

// Encode implements pgtype.EncodePlan.
func (nullableBigints) Encode(value any, buf []byte) ([]byte, error) {
	list := value.([]*int64)
	if list == nil {
		return nil, nil
	}
	buf = appendHead(buf, len(list), 1, pgtype.Int8OID)
	for _, v := range list {
		if v == nil {
			buf = binary.BigEndian.AppendUint32(buf, null)
			continue
		}
		buf = binary.BigEndian.AppendUint32(buf, 8)
		buf = binary.BigEndian.AppendUint64(buf, uint64(*v))
	}
	return buf, nil
}

type texts struct{}

// Encode implements pgtype.EncodePlan.
func (texts) Encode(value any, buf []byte) ([]byte, error) {
	list := value.([]string)
	if list == nil {
		return nil, nil
	}
	size := 0
	for _, v := range list {
		size += 4 + len(v)
	}
	buf = appendHead(slices.Grow(buf, headBytes+size), len(list), 0, pgtype.TextOID)
	for _, v := range list {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(v)))
		buf = append(buf, v...)
	}
	return buf, nil
}

type dates struct{}

// epoch is day 0 of PostgreSQL, in days of Unix.
const epoch = 10957

// Encode implements pgtype.EncodePlan. pgx writes dates that are strings as text, once it has found that it must.
func (dates) Encode(value any, buf []byte) ([]byte, error) {
	list := value.([]string)
	if list == nil {
		return nil, nil
	}
	buf = appendHead(buf, len(list), 0, pgtype.DateOID)
	for _, v := range list {
		day, err := time.Parse(time.DateOnly, v)
		if err != nil || day.Year() == 0 {
			return nil, fmt.Errorf("encode %q: no date from 0001-01-01 to 9999-12-31", v)
		}
		buf = binary.BigEndian.AppendUint32(buf, 4)
		buf = binary.BigEndian.AppendUint32(buf, uint32(day.Unix()/(24*60*60)-epoch))
	}
	return buf, nil
}

type uuids struct{}

// Encode implements pgtype.EncodePlan.
func (uuids) Encode(value any, buf []byte) ([]byte, error) {
	list := value.(pgtype.FlatArray[pgtype.UUID])
	if list == nil {
		return nil, nil
	}
	buf = appendHead(buf, len(list), 1, pgtype.UUIDOID)
	for _, v := range list {
		if !v.Valid {
			buf = binary.BigEndian.AppendUint32(buf, null)
			continue
		}
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(v.Bytes)))
		buf = append(buf, v.Bytes[:]...)
	}
	return buf, nil
}
