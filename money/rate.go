package money

import (
	"math"

	"github.com/shopspring/decimal"
)

// ratePlacesMax bounds a rate's decimals: funds publish four places per 10,000
// units, which is eight, and four more leave room for a share of that.
const ratePlacesMax = 12

// rateMax bounds a rate's size either way, so that any amount within MaxFen
// times any rate fits an int64 of fen with room to spare.
const rateMax = 10_000

const allowedRate = `a decimal string with at most 12 places, such as "0.006", from -10000 to 10000`

// Rate is an exact decimal factor: a fee of 0.6% is 0.006. The zero value is 0.
// Compare rates with [Rate.Equal]; == would tell 0.5 from 0.50.
type Rate struct{ value decimal.Decimal }

// ParseRate reads a rate in the same strict notation as [Parse], with at most 12
// decimal places and within ±10,000. Anything else is refused with an [*Error].
func ParseRate(s string) (Rate, error) {
	if problem := explain(s, ratePlacesMax); problem != "" {
		return Rate{}, newError(s, problem, allowedRate)
	}
	if len(s) > len("-10000.")+ratePlacesMax {
		return Rate{}, newError(s, problemRange, allowedRate)
	}
	value, err := decimal.NewFromString(s)
	if err != nil {
		return Rate{}, newError(s, "is not a decimal number", allowedRate)
	}
	if value.Abs().GreaterThan(decimal.NewFromInt(rateMax)) {
		return Rate{}, newError(s, problemRange, allowedRate)
	}
	return Rate{value}, nil
}

// PerTenThousand returns the rate divided by 10,000, exactly: for figures that
// are quoted per 10,000 units, such as a money-market fund's daily income
// (万份收益), and for fees in basis points.
func (r Rate) PerTenThousand() Rate { return Rate{r.value.Shift(-4)} }

// Equal reports whether two rates have the same value.
func (r Rate) Equal(other Rate) bool { return r.value.Equal(other.value) }

// IsZero reports whether the rate is 0.
func (r Rate) IsZero() bool { return r.value.IsZero() }

// IsNegative reports whether the rate is below 0.
func (r Rate) IsNegative() bool { return r.value.IsNegative() }

// String writes the rate without exponent or trailing zeros: "0.006".
func (r Rate) String() string { return r.value.String() }

// MarshalText returns the form of [Rate.String]. It never fails.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.value.String()), nil }

// UnmarshalText reads what [ParseRate] reads. The rate is left as it was on refusal.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// RoundMode says what becomes of a fraction of a fen.
type RoundMode uint8

// The modes are named at every call that rounds. RoundDown is the zero value, so
// that a forgotten mode never moves more than was earned.
const (
	// RoundDown drops the fraction, toward zero.
	RoundDown RoundMode = iota
	// RoundUp takes any fraction as a whole fen, away from zero.
	RoundUp
	// RoundHalfUp rounds to the nearest fen, and half a fen away from zero.
	RoundHalfUp
	// RoundHalfEven rounds to the nearest fen, and half a fen to the even neighbour,
	// so that many roundings do not drift to one side.
	RoundHalfEven
)

// MulRate returns the amount times the rate, rounded to the fen in the given mode
// (an unknown mode rounds down). It is exact before it rounds, once. For amounts
// within [MaxFen] the result always fits; beyond, it stops at the largest or
// smallest int64 of fen.
func (a Amount) MulRate(rate Rate, mode RoundMode) Amount {
	exact := decimal.NewFromInt(a.fen).Mul(rate.value)
	var rounded decimal.Decimal
	switch mode {
	case RoundUp:
		rounded = exact.RoundUp(0)
	case RoundHalfUp:
		rounded = exact.Round(0)
	case RoundHalfEven:
		rounded = exact.RoundBank(0)
	case RoundDown:
		fallthrough
	default:
		rounded = exact.RoundDown(0)
	}
	fen := rounded.BigInt()
	switch {
	case fen.IsInt64():
		return Amount{fen.Int64()}
	case fen.Sign() < 0:
		return Amount{math.MinInt64}
	default:
		return Amount{math.MaxInt64}
	}
}
