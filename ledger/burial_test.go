package ledger_test

import (
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// counterOf is the value of a registry's only series of a name.
func counterOf(t *testing.T, registry *prometheus.Registry, name string) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return int(family.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// Whoever is alerted by the counter must hear of each dead request, however it died, and of each once.
func TestEveryBurialIsCountedOnce(t *testing.T) {
	t.Parallel()
	var mended sync.Map
	registry := prometheus.NewPedanticRegistry()
	b := ledgertest.Open(t, ledgertest.WithRules(rulesWith(badRule(&mended))...), func(c *ledger.Config) { c.Registerer = registry })
	expect := func(after string, want int) {
		t.Helper()
		got := counterOf(t, registry, "settled_ledger_burials_total")
		if dead := count(t, b.DB, "SELECT count(*) FROM pending WHERE state = 'dead'"); got != want || dead != want {
			t.Errorf("after %s %d burials are counted and %d requests are dead, want %d", after, got, dead, want)
		}
	}
	var receipts []tasks.Receipt
	for i, fault := range []string{"panic", "negative", "text"} { // in the rule, in the state, in PostgreSQL
		receipts = append(receipts, b.Accept(t, grant(fault, fault))...)
		b.Apply(t, receipts[i])
		b.Apply(t, receipts[i]) // it is dead already
		expect(fault, i+1)
	}
	if err := b.Ledger.Bury(t.Context(), receipts[0].Book, receipts[0].ID, "again"); err != nil {
		t.Fatal(err)
	}
	expect("a second burial", 3)
	decided := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	ledgertest.Applied(t, b.Apply(t, decided)...)
	if err := b.Ledger.Bury(t.Context(), decided.Book, decided.ID, "too late"); err != nil {
		t.Fatal(err)
	}
	expect("the burial of a decided one", 3)
	b.Apply(t, b.Accept(t, ledgertest.Refund("rf1", "none", "u1", "4.00"))[0])
	if n, err := b.Ledger.BuryUnwoken(t.Context(), 0, 10); n != 1 || err != nil {
		t.Fatalf("%d buried, %v", n, err)
	}
	expect("a wait that was too long", 4)
}
