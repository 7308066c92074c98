package money_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/money"
)

func TestSplitCappedPassesOnWhatAPartCannotTake(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total               int64
		weights, caps, want []money.Amount
	}{
		"no cap reached":                  {100, amounts(1, 1, 1), amounts(99, 99, 99), amounts(34, 33, 33)},
		"one full, the rest by weight":    {100, amounts(2, 1, 1), amounts(20, 99, 99), amounts(20, 40, 40)},
		"one full fills another":          {100, amounts(2, 1, 1), amounts(20, 30, 99), amounts(20, 30, 50)},
		"remainder stays below the cap":   {100, amounts(1, 1, 1), amounts(33, 99, 99), amounts(33, 34, 33)},
		"exactly full":                    {60, amounts(1, 1), amounts(50, 10), amounts(50, 10)},
		"more than there is room for":     {100, amounts(1, 1), amounts(50, 10), amounts(50, 10)},
		"no weight, nothing while room":   {10, amounts(0, 1), amounts(9, 10), amounts(0, 10)},
		"no weight, last resort in order": {20, amounts(0, 1, 0), amounts(7, 10, 7), amounts(7, 10, 3)},
		"no weight anywhere":              {10, amounts(0, 0), amounts(4, 9), amounts(4, 6)},
		"nothing to split":                {0, amounts(1, 0), amounts(5, 5), amounts(0, 0)},
		"nobody":                          {10, amounts(), amounts(), amounts()},
		"large":                           {money.MaxFen, amounts(money.MaxFen, 1), amounts(money.MaxFen-5, money.MaxFen), amounts(money.MaxFen-5, 5)},
		"a negative total":                {-1, amounts(1), amounts(1), nil},
		"a negative weight":               {1, amounts(-1, 2), amounts(1, 1), nil},
		"a negative cap":                  {1, amounts(1, 1), amounts(1, -1), nil},
		"a cap too few":                   {1, amounts(1, 1), amounts(1), nil},
	} {
		got := money.SplitCapped(money.FromFen(c.total), c.weights, c.caps)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSplitCappedFillsNoPartAboveItsCap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := drawAmounts(t, "weights", 1, 20)
		caps := drawAmounts(t, "caps", len(weights), len(weights))
		whole := drawTotal(t, 0)
		parts := money.SplitCapped(whole, weights, caps)
		if want := money.Min(whole, total(caps)); total(parts) != want {
			t.Errorf("SplitCapped(%v, %v, %v) = %v, which add up to %v, want %v",
				whole, weights, caps, parts, total(parts), want)
		}
		weightedFull := true
		for i, part := range parts {
			if part.IsNegative() || part.Cmp(caps[i]) > 0 {
				t.Errorf("SplitCapped(%v, %v, %v) = %v: part %d is above its cap", whole, weights, caps, parts, i)
			}
			weightedFull = weightedFull && (weights[i].IsZero() || part == caps[i])
		}
		for i, part := range parts {
			if weights[i].IsZero() && part.IsPositive() && !weightedFull {
				t.Errorf("SplitCapped(%v, %v, %v) = %v: part %d has no weight and got its share before the others were full",
					whole, weights, caps, parts, i)
			}
		}
	})
}

// The parts that are not full share what the full ones left, as Split would.
func TestSplitCappedSharesTheRestFairly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := drawAmounts(t, "weights", 1, 20)
		caps := drawAmounts(t, "caps", len(weights), len(weights))
		whole := drawTotal(t, 0)
		parts := money.SplitCapped(whole, weights, caps)
		var openWeights, openParts []money.Amount
		for i, part := range parts {
			if part.Cmp(caps[i]) < 0 && weights[i].IsPositive() {
				openWeights = append(openWeights, weights[i])
				openParts = append(openParts, part)
			}
		}
		checkNearExact(t, total(openParts), openWeights, openParts)
	})
}

func TestSplitCappedWithoutTightCapsIsSplit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := append(drawAmounts(t, "weights", 0, 20), money.FromFen(1))
		whole := drawTotal(t, 0)
		caps := make([]money.Amount, len(weights))
		for i := range caps {
			caps[i] = whole.Add(money.FromFen(1))
		}
		if diff := cmp.Diff(money.Split(whole, weights), money.SplitCapped(whole, weights, caps)); diff != "" {
			t.Errorf("(-Split +SplitCapped):\n%s", diff)
		}
	})
}
