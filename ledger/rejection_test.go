package ledger_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// A refund that names another user than its order's is refused, and somebody hears of it: each once, from the first.
func TestRefundOfAnothersOrderIsRefusedAndCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	b := ledgertest.Open(t, func(c *ledger.Config) { c.Registerer = registry })
	counted := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]float64{}
		for _, family := range families {
			if family.GetName() == "settled_ledger_rejections_total" {
				for _, m := range family.GetMetric() {
					counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		return counts
	}
	if got := counted(); len(got) != len(tasks.Reasons()) || got[string(tasks.OrderOfAnotherUser)] != 0 {
		t.Errorf("before anything is rejected %v is counted, want each reason from zero", got)
	}
	paid := b.Accept(t, ledgertest.Payment("o1", "ada", ledgertest.Leg(tasks.SourceWeChat, "9.00")))
	ledgertest.Applied(t, b.Apply(t, paid...)...)
	stolen := b.Accept(t, ledgertest.Refund("f1", "o1", "eve", "9.00"))
	for range 2 {
		if answer := b.Apply(t, stolen...)[0]; answer.Outcome.Reason != tasks.OrderOfAnotherUser {
			t.Fatalf("the outcome is %+v", answer.Outcome)
		}
	}
	if got := counted()[string(tasks.OrderOfAnotherUser)]; got != 1 {
		t.Errorf("%v rejections are counted, want 1", got)
	}
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
}
