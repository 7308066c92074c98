package money_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
)

func amounts(fen ...int64) []money.Amount {
	list := make([]money.Amount, len(fen))
	for i, f := range fen {
		list[i] = money.FromFen(f)
	}
	return list
}

func total(parts []money.Amount) money.Amount {
	var sum money.Amount
	for _, part := range parts {
		sum = sum.Add(part)
	}
	return sum
}

func TestSplitByLargestRemainder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total   int64
		weights []money.Amount
		want    []money.Amount
	}{
		"thirds, tie to the earlier":        {100, amounts(1, 1, 1), amounts(34, 33, 33)},
		"two left, ties in order":           {101, amounts(1, 1, 1), amounts(34, 34, 33)},
		"larger fraction before the order":  {5, amounts(2, 1), amounts(3, 2)},
		"exact shares":                      {3000, amounts(8000, 2000), amounts(2400, 600)},
		"one fen among many":                {1, amounts(1, 5, 5), amounts(0, 1, 0)},
		"zero weight gets nothing":          {100, amounts(0, 1, 0, 1), amounts(0, 50, 0, 50)},
		"nothing to split":                  {0, amounts(1, 2), amounts(0, 0)},
		"nothing among weights of zero":     {0, amounts(0, 0), amounts(0, 0)},
		"nothing among nobody":              {0, amounts(), amounts()},
		"one part takes all":                {777, amounts(3), amounts(777)},
		"a negative total mirrors":          {-100, amounts(1, 1, 1), amounts(-34, -33, -33)},
		"products beyond 64 bits":           {money.MaxFen, amounts(money.MaxFen, money.MaxFen-1), amounts(5_000_000_000_000, 5_000_000_000_000)},
		"the ends of int64":                 {math.MaxInt64, amounts(math.MaxInt64, math.MaxInt64), amounts(math.MaxInt64/2+1, math.MaxInt64/2)},
		"the smallest int64":                {math.MinInt64, amounts(1), amounts(math.MinInt64)},
		"something among weights of zero":   {1, amounts(0, 0), nil},
		"something among nobody":            {1, amounts(), nil},
		"a negative weight":                 {1, amounts(2, -1), nil},
		"weights that add up beyond 64 bit": {1, amounts(math.MaxInt64, math.MaxInt64, 2), nil},
	} {
		got := money.Split(money.FromFen(c.total), c.weights)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func drawAmounts(t *rapid.T, name string, least, most int) []money.Amount {
	// Small weights make ties and zeros frequent, large ones reach beyond 64 bits.
	fen := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, 100_000), rapid.Int64Range(0, money.MaxFen))
	return amounts(rapid.SliceOfN(fen, least, most).Draw(t, name)...)
}

func drawTotal(t *rapid.T, least int64) money.Amount {
	fen := rapid.OneOf(rapid.Int64Range(max(least, -20), 20), rapid.Int64Range(least, money.MaxFen))
	return money.FromFen(fen.Draw(t, "total"))
}

// checkNearExact fails when a part is a fen or more away from total*weight/whole.
func checkNearExact(t *rapid.T, total money.Amount, weights, parts []money.Amount) {
	t.Helper()
	whole := new(big.Int)
	for _, weight := range weights {
		whole.Add(whole, big.NewInt(weight.Fen()))
	}
	for i, part := range parts {
		exact := new(big.Int).Mul(big.NewInt(total.Fen()), big.NewInt(weights[i].Fen()))
		off := new(big.Int).Mul(big.NewInt(part.Fen()), whole)
		if off.Sub(off, exact).CmpAbs(whole) >= 0 && whole.Sign() > 0 {
			t.Errorf("part %d of %v by %v is %v: a fen or more off its share", i, total, weights, part)
		}
	}
}

func TestSplitAddsUpNearTheExactShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := drawTotal(t, -money.MaxFen)
		weights := drawAmounts(t, "weights", 1, 40)
		parts := money.Split(whole, weights)
		if total(weights).IsZero() {
			if (parts == nil) == whole.IsZero() {
				t.Errorf("Split(%v, %v) = %v", whole, weights, parts)
			}
			return
		}
		if len(parts) != len(weights) || total(parts) != whole {
			t.Fatalf("Split(%v, %v) = %v, which add up to %v", whole, weights, parts, total(parts))
		}
		checkNearExact(t, whole, weights, parts)
		for i, part := range parts {
			if weights[i].IsZero() && !part.IsZero() {
				t.Errorf("part %d of Split(%v, %v) has no weight and got %v", i, whole, weights, part)
			}
		}
		if again := money.Split(whole, weights); !cmp.Equal(parts, again) {
			t.Errorf("Split(%v, %v) = %v, then %v", whole, weights, parts, again)
		}
	})
}

func TestEqualWeightsFavourTheEarlier(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := drawTotal(t, 0)
		weights := drawAmounts(t, "weights", 1, 40)
		parts := money.Split(whole, weights)
		earlier := map[money.Amount]money.Amount{} // the last part seen of each weight
		for i, part := range parts {
			if before, seen := earlier[weights[i]]; seen && part.Cmp(before) > 0 {
				t.Errorf("Split(%v, %v) = %v: part %d gets more than an equal one before it", whole, weights, parts, i)
			}
			earlier[weights[i]] = part
		}
	})
}

func TestHeavierPartNeverGetsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := drawTotal(t, 0)
		weights := drawAmounts(t, "weights", 2, 20)
		parts := money.Split(whole, weights)
		for i := range parts {
			for j := range parts {
				if weights[i].Cmp(weights[j]) > 0 && parts[i].Cmp(parts[j]) < 0 {
					t.Errorf("Split(%v, %v) = %v: part %d is heavier than %d and gets less", whole, weights, parts, i, j)
				}
			}
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	weights := amounts(8000, 2000, 333)
	b.ReportAllocs()
	for b.Loop() {
		money.Split(money.FromFen(3001), weights)
	}
}
