package money_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
)

func mustRate(t interface {
	Helper()
	Fatal(args ...any)
}, text string,
) money.Rate {
	t.Helper()
	rate, err := money.ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return rate
}

func TestMulRateRoundsInTheNamedMode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fen                            int64
		rate                           string
		down, up, halfUp, halfEvenWant int64
	}{
		{100, "0.006", 0, 1, 1, 1},
		{1000, "0.006", 6, 6, 6, 6},
		{25, "0.1", 2, 3, 3, 2},
		{35, "0.1", 3, 4, 4, 4},
		{-25, "0.1", -2, -3, -3, -2},
		{25, "-0.1", -2, -3, -3, -2},
		{24, "0.1", 2, 3, 2, 2},
		{26, "0.1", 2, 3, 3, 3},
		{0, "0.5", 0, 0, 0, 0},
		{money.MaxFen, "10000", money.MaxFen * 10000, money.MaxFen * 10000, money.MaxFen * 10000, money.MaxFen * 10000},
		{money.MaxFen, "0.000000000001", 10, 10, 10, 10},
		{math.MaxInt64, "2", math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, "-2", math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64},
	} {
		rate := mustRate(t, c.rate)
		for mode, want := range map[money.RoundMode]int64{
			money.RoundDown: c.down, money.RoundUp: c.up, money.RoundHalfUp: c.halfUp,
			money.RoundHalfEven: c.halfEvenWant, money.RoundMode(99): c.down,
		} {
			if got := money.FromFen(c.fen).MulRate(rate, mode).Fen(); got != want {
				t.Errorf("%d fen x %s in mode %d = %d, want %d", c.fen, c.rate, mode, got, want)
			}
		}
	}
}

func TestMulRateIsExactBeforeItRounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := drawTotal(t, -money.MaxFen)
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})\.[0-9]{1,12}`).Draw(t, "rate")
		rate := mustRate(t, text)
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q is no rational", text)
		}
		exact.Mul(exact, new(big.Rat).SetInt64(amount.Fen()))
		off := func(mode money.RoundMode) *big.Rat {
			rounded := new(big.Rat).SetInt64(amount.MulRate(rate, mode).Fen())
			if exact.Sign() < 0 {
				return rounded.Sub(exact, rounded) // positive: away from zero
			}
			return rounded.Sub(rounded, exact)
		}
		one, half := big.NewRat(1, 1), big.NewRat(1, 2)
		if down := off(money.RoundDown); down.Sign() > 0 || new(big.Rat).Neg(down).Cmp(one) >= 0 {
			t.Errorf("%v x %s rounded down is %v off", amount, text, down)
		}
		if up := off(money.RoundUp); up.Sign() < 0 || up.Cmp(one) >= 0 {
			t.Errorf("%v x %s rounded up is %v off", amount, text, up)
		}
		for _, mode := range []money.RoundMode{money.RoundHalfUp, money.RoundHalfEven} {
			if nearest := off(mode); new(big.Rat).Abs(nearest).Cmp(half) > 0 {
				t.Errorf("%v x %s in mode %d is %v off", amount, text, mode, nearest)
			}
		}
	})
}

func TestParseRateIsAsStrictAsParse(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		"":                         "is empty",
		"1e-3":                     "is in exponent notation",
		"1e999999999":              "is in exponent notation",
		"+1":                       "has a plus sign",
		".5":                       "is not a decimal number",
		"5%":                       "has the character '%', which is not a digit",
		"01":                       "has a leading zero",
		"0.0000000000001":          "has more than 12 decimal places",
		"10000.000000000001":       "is out of range",
		"-10000.1":                 "is out of range",
		strings.Repeat("9", 1<<20): "is out of range",
	} {
		_, err := money.ParseRate(text)
		var refused *money.Error
		if !errors.As(err, &refused) || refused.Problem != problem {
			t.Errorf("ParseRate(%.30q): %v, want %q", text, err, problem)
		}
	}
}

func TestRateIsWrittenPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.50": "0.5", "0.006": "0.006", "-10000": "-10000", "0.000000000001": "0.000000000001",
	} {
		rate := mustRate(t, text)
		if rate.String() != want || !rate.Equal(mustRate(t, want)) {
			t.Errorf("ParseRate(%q) = %v, want %s", text, rate, want)
		}
	}
	if (money.Rate{}).String() != "0" || !(money.Rate{}).IsZero() || !mustRate(t, "-0.1").IsNegative() {
		t.Error("the zero rate is not 0, or a negative one not negative")
	}
}

func TestRateIsAJSONString(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(map[string]money.Rate{"fee": mustRate(t, "0.0060")})
	if err != nil || string(text) != `{"fee":"0.006"}` {
		t.Errorf("Marshal = %s, %v", text, err)
	}
	back := map[string]money.Rate{}
	if err := json.Unmarshal(text, &back); err != nil || !back["fee"].Equal(mustRate(t, "0.006")) {
		t.Errorf("Unmarshal = %v, %v", back, err)
	}
	for _, text := range []string{`0.006`, `"6e-3"`} {
		rate := mustRate(t, "7")
		if err := json.Unmarshal([]byte(text), &rate); err == nil || !rate.Equal(mustRate(t, "7")) {
			t.Errorf("Unmarshal(%s) = %v, %v, want a refusal", text, rate, err)
		}
	}
}
