package money

import (
	"cmp"
	"strconv"
)

// MaxFen is the largest amount that is parsed, in fen and in either direction:
// 100 billion yuan. It is far above any real payment, and 922,337 such amounts
// still add up within an int64.
const MaxFen int64 = 10_000_000_000_000

// fenPerYuan is fixed by the currency.
const fenPerYuan = 100

// Amount is an exact amount of yuan, held in fen. It may be negative. The zero
// value is 0.00. Amounts compare with == and may be map keys.
type Amount struct{ fen int64 }

// FromFen returns the amount of so many fen. It takes any int64, because balances
// that the database has summed may be larger than what a message may carry.
func FromFen(fen int64) Amount { return Amount{fen} }

// Fen returns the amount in fen.
func (a Amount) Fen() int64 { return a.fen }

// Add returns a + b. It does not check for overflow, which sums of fewer than
// 922,337 amounts within [MaxFen] cannot reach.
func (a Amount) Add(b Amount) Amount { return Amount{a.fen + b.fen} }

// Sub returns a - b, with the same headroom as [Amount.Add].
func (a Amount) Sub(b Amount) Amount { return Amount{a.fen - b.fen} }

// Neg returns -a.
func (a Amount) Neg() Amount { return Amount{-a.fen} }

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int { return cmp.Compare(a.fen, b.fen) }

// Equal reports whether a == b. go-cmp calls it, as it may not look inside an Amount.
func (a Amount) Equal(b Amount) bool { return a == b }

// IsZero reports whether a is 0.00; encoding/json's omitzero calls it.
func (a Amount) IsZero() bool { return a.fen == 0 }

// IsNegative reports whether a is below 0.00.
func (a Amount) IsNegative() bool { return a.fen < 0 }

// IsPositive reports whether a is above 0.00.
func (a Amount) IsPositive() bool { return a.fen > 0 }

// Min returns the smaller of a and b.
func Min(a, b Amount) Amount {
	if b.fen < a.fen {
		return b
	}
	return a
}

// String writes the amount in yuan with exactly two places: "12.30", "-0.05".
func (a Amount) String() string {
	var buf [maxTextLen]byte
	return string(a.append(buf[:0]))
}

// maxTextLen is the length of the longest amount, "-92233720368547758.08", and
// a pair of quotes, so that every form of an amount fits a buffer of this size.
const maxTextLen = 23

// append writes the amount's text form to b.
func (a Amount) append(b []byte) []byte {
	magnitude := uint64(a.fen)
	if a.fen < 0 {
		b = append(b, '-')
		magnitude = -magnitude // unsigned, so that the smallest int64 has one too
	}
	b = strconv.AppendUint(b, magnitude/fenPerYuan, 10)
	rest := magnitude % fenPerYuan
	return append(b, '.', byte('0'+rest/10), byte('0'+rest%10))
}
