package dashboards_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	promStrings   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	promMatchers  = regexp.MustCompile(`\{[^}]*\}`)
	promRanges    = regexp.MustCompile(`\[[^\]]*\]`)
	promGroupings = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	promNumbers   = regexp.MustCompile(`\b[0-9][0-9a-zA-Z_.]*`) // with their units and exponents
	promNames     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	promWords     = []string{"and", "or", "unless", "bool", "offset", "inf", "nan"}
)

// metricNames lists the metrics that a PromQL expression reads, in its order. It is a scanner, not a parser: the real parser has
// dependencies that this module cannot have.
func metricNames(expression string) []string {
	text := promStrings.ReplaceAllString(expression, `""`)
	for _, part := range []*regexp.Regexp{promMatchers, promRanges, promGroupings, promNumbers} {
		text = part.ReplaceAllString(text, " ")
	}
	var names []string
	for _, name := range promNames.FindAllString(text, -1) {
		if strings.HasSuffix(name, "(") || slices.Contains(promWords, strings.ToLower(strings.TrimSpace(name))) {
			continue
		}
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

func TestScannerFindsTheMetricsOfAnExpression(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`up`:                           "up",
		`min(settled_ledger_audit_ok)`: "settled_ledger_audit_ok",
		`rate(a_total{kind="b_total"}[$__rate_interval])`:                                  "a_total",
		`histogram_quantile(0.99, sum by (kind, le) (rate(a_seconds_bucket[5m])))`:         "a_seconds_bucket",
		`sum without (instance) (a) / on (job) group_left (x) b > bool 1e3 or c offset 5m`: "a b c",
		`count(up{job="settled"} == 1) / count(up{job="settled"})`:                         "up up",
		`sum by (le) (a{x="}", y="["})`:                                                    "a",
	} {
		got := metricNames(expression)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", expression, got, want)
		}
	}
}
