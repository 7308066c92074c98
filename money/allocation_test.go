package money_test

import (
	"testing"

	"github.com/settled-dev/settled/money"
)

// The hot path parses and writes an amount per leg of every request, so its
// allocations are a promise. AllocsPerRun counts for the whole process, which is
// why this test does not run beside others.
func TestCommonPathDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 64)
	text := []byte(`"1234567.89"`)
	weights := []money.Amount{money.FromFen(1), money.FromFen(1), money.FromFen(1)}
	var amount money.Amount
	for name, c := range map[string]struct {
		allowed float64
		run     func() error
	}{
		"Parse":         {0, func() (err error) { amount, err = money.Parse("1234567.89"); return err }},
		"ParsePositive": {0, func() (err error) { amount, err = money.ParsePositive("0.01"); return err }},
		"AppendText":    {0, func() error { _, err := amount.AppendText(buf); return err }},
		"UnmarshalJSON": {0, func() error { return amount.UnmarshalJSON(text) }},
		"MarshalJSON":   {1, func() error { _, err := amount.MarshalJSON(); return err }},
		"String":        {1, func() error { _ = amount.String(); return nil }},
		"Split":         {1, func() error { money.Split(amount, weights); return nil }},
	} {
		got := testing.AllocsPerRun(100, func() {
			if err := c.run(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if got > c.allowed {
			t.Errorf("%s allocates %v times, want at most %v", name, got, c.allowed)
		}
	}
}
