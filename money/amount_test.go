package money_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
)

func TestAmountIsWrittenWithTwoPlaces(t *testing.T) {
	t.Parallel()
	for fen, want := range map[int64]string{
		0: "0.00", 1: "0.01", -1: "-0.01", 10: "0.10", 99: "0.99", 100: "1.00", -1230: "-12.30",
		money.MaxFen:  "100000000000.00",
		math.MaxInt64: "92233720368547758.07",
		math.MinInt64: "-92233720368547758.08",
	} {
		if got := money.FromFen(fen).String(); got != want {
			t.Errorf("FromFen(%d).String() = %q, want %q", fen, got, want)
		}
	}
}

func TestArithmeticIsThatOfFen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Int64Range(-money.MaxFen, money.MaxFen).Draw(t, "x")
		y := rapid.Int64Range(-money.MaxFen, money.MaxFen).Draw(t, "y")
		a, b := money.FromFen(x), money.FromFen(y)
		for name, pair := range map[string][2]int64{
			"Add": {a.Add(b).Fen(), x + y},
			"Sub": {a.Sub(b).Fen(), x - y},
			"Neg": {a.Neg().Fen(), -x},
			"Min": {money.Min(a, b).Fen(), min(x, y)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s of %v and %v = %d fen, want %d", name, a, b, pair[0], pair[1])
			}
		}
		if (a.Cmp(b) < 0) != (x < y) || (a.Cmp(b) > 0) != (x > y) || a.Equal(b) != (x == y) {
			t.Errorf("Cmp(%v, %v) = %d, Equal = %t", a, b, a.Cmp(b), a.Equal(b))
		}
		if a.IsZero() != (x == 0) || a.IsNegative() != (x < 0) || a.IsPositive() != (x > 0) {
			t.Errorf("the sign of %v is told wrong", a)
		}
	})
}

func TestAmountsAreComparable(t *testing.T) {
	t.Parallel()
	one, err := money.Parse("1")
	if err != nil {
		t.Fatal(err)
	}
	same, err := money.Parse("1.00")
	if err != nil {
		t.Fatal(err)
	}
	if one != same {
		t.Errorf("1 != 1.00: %v and %v", one, same)
	}
	if seen := map[money.Amount]bool{one: true}; !seen[same] {
		t.Error("1.00 does not find the map key 1")
	}
}

func BenchmarkAmountString(b *testing.B) {
	a := money.FromFen(123_456_789)
	b.ReportAllocs()
	for b.Loop() {
		_ = a.String()
	}
}
