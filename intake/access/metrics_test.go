package access_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/intake/access"
)

// reasons collects the one series of the refusals that has a reason.
type reasons struct {
	registry *prometheus.Registry
	reason   string
}

// Describe implements prometheus.Collector.
func (r reasons) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r reasons) Collect(into chan<- prometheus.Metric) {
	families, err := r.registry.Gather()
	if err != nil {
		return
	}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			if family.GetName() == "settled_intake_refused_total" && series.GetLabel()[0].GetValue() == r.reason {
				into <- prometheus.MustNewConstMetric(prometheus.NewDesc("refused", "of one reason", nil, nil), prometheus.CounterValue,
					series.GetCounter().GetValue())
			}
		}
	}
}

func TestEveryRefusalIsCountedByItsReason(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{Rate: 0.001, Burst: 1})
	key, token := g.create(t, access.Read)
	g.refused(t, access.ReasonMissing, "")
	g.refused(t, access.ReasonMalformed, "Bearer x")
	g.refused(t, access.ReasonUnknown, "Bearer sk_0123456789abcdef"+token[19:])
	g.refused(t, access.ReasonScope, "Bearer "+token, access.Admin)
	principal := g.admitted(t, token)
	g.refused(t, access.ReasonRate, "Bearer "+token)
	if err := principal.Charge(1); err == nil {
		t.Error("a charge beyond the burst is let through")
	}
	g.revoke(t, key.ID)
	g.clock.Advance(access.Fresh)
	g.refused(t, access.ReasonRevoked, "Bearer "+token)
	want := `# HELP settled_intake_refused_total Calls over HTTP that were not let in, by why; unavailable is PostgreSQL's fault, all others are the caller's.
# TYPE settled_intake_refused_total counter
settled_intake_refused_total{reason="malformed"} 1
settled_intake_refused_total{reason="missing"} 1
settled_intake_refused_total{reason="rate"} 2
settled_intake_refused_total{reason="revoked"} 1
settled_intake_refused_total{reason="scope"} 1
settled_intake_refused_total{reason="unavailable"} 0
settled_intake_refused_total{reason="unknown"} 1
`
	if err := testutil.GatherAndCompare(g.registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(g.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
