package dashboards_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
)

// alertRule is what the tests read of a Prometheus alert.
type alertRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func allAlerts(t *testing.T) []alertRule {
	t.Helper()
	names, err := filepath.Glob("alerts/*.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d files of alerts: %v", len(names), err)
	}
	var alerts []alertRule
	for _, name := range names {
		var file struct {
			Groups []struct {
				Name  string
				Rules []alertRule
			}
		}
		readYAML(t, name, &file)
		for _, group := range file.Groups {
			if len(group.Rules) == 0 {
				t.Errorf("%s: group %q has no rules", name, group.Name)
			}
			alerts = append(alerts, group.Rules...)
		}
	}
	return alerts
}

func TestPrometheusLoadsTheAlerts(t *testing.T) {
	t.Parallel()
	var config struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	readYAML(t, "prometheus.yml", &config)
	if !slices.Equal(config.RuleFiles, []string{"alerts/*.yml"}) {
		t.Errorf("prometheus.yml loads %q", config.RuleFiles)
	}
	var compose composeFile
	readYAML(t, "../docker-compose.yml", &compose)
	if !slices.Contains(compose.Services["prometheus"].Volumes, "./dashboards:/etc/prometheus:ro") {
		t.Error("docker-compose.yml does not mount the alerts beside prometheus.yml")
	}
}

func TestAlertsReachAReceiverBySeverity(t *testing.T) {
	t.Parallel()
	var prometheus struct {
		Alerting struct {
			Alertmanagers []struct {
				StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
			}
		}
	}
	readYAML(t, "prometheus.yml", &prometheus)
	managers := prometheus.Alerting.Alertmanagers
	if len(managers) != 1 || len(managers[0].StaticConfigs) != 1 || !slices.Equal(managers[0].StaticConfigs[0].Targets, []string{"alertmanager:9093"}) {
		t.Errorf("Prometheus tells %+v", managers)
	}
	var compose composeFile
	readYAML(t, "../docker-compose.yml", &compose)
	if mount := "./dashboards/alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro"; !slices.Contains(compose.Services["alertmanager"].Volumes, mount) {
		t.Errorf("docker-compose.yml does not mount %s", mount)
	}
	var manager struct {
		Route struct {
			Receiver string
			Routes   []struct {
				Matchers []string
				Receiver string
			}
		}
		Receivers []struct{ Name string }
	}
	readYAML(t, "alertmanager.yml", &manager)
	var receivers []string
	for _, receiver := range manager.Receivers {
		receivers = append(receivers, receiver.Name)
	}
	// Of the two severities, a ticket is what is left.
	route := manager.Route
	if len(route.Routes) != 1 || !slices.Equal(route.Routes[0].Matchers, []string{`severity="page"`}) || route.Receiver != "ticket" ||
		!slices.Equal(receivers, []string{route.Routes[0].Receiver, route.Receiver}) {
		t.Errorf("alertmanager.yml routes %+v to %q", route, receivers)
	}
}

func TestWhatComposeMountsIsThere(t *testing.T) {
	t.Parallel()
	var compose composeFile
	readYAML(t, "../docker-compose.yml", &compose)
	mounted := 0
	for name, service := range compose.Services {
		for _, volume := range service.Volumes {
			path, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(path, "./") {
				continue
			}
			mounted++
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s mounts %s: %v", name, path, err)
			}
		}
	}
	if mounted < 4 {
		t.Errorf("%d files and directories are mounted, want those of prometheus, alertmanager and grafana", mounted)
	}
}

func TestEveryMetricOfAnAlertIsExported(t *testing.T) {
	t.Parallel()
	e := everything(t)
	for _, alert := range allAlerts(t) {
		names := metricNames(alert.Expr)
		if len(names) == 0 {
			t.Errorf("%s reads no metric: %s", alert.Alert, alert.Expr)
		}
		for _, name := range names {
			if !e.has(name) && !fromElsewhere[name] {
				t.Errorf("%s: %s is exported by nothing", alert.Alert, name)
			}
		}
	}
}

var (
	promSelector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	promMatcher  = regexp.MustCompile(`(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"`)
	promBy       = regexp.MustCompile(`\bby\s*\(([^)]*)\)`)
	alertLabel   = regexp.MustCompile(`\$labels\.(\w+)`)
)

// labelled are the series of a registry: by metric and label, the values that it has.
type labelled map[string]map[string][]string

func labelsOf(t *testing.T, gatherer prometheus.Gatherer) labelled {
	t.Helper()
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := labelled{}
	for _, family := range families {
		values := map[string][]string{}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				values[label.GetName()] = append(values[label.GetName()], label.GetValue())
			}
		}
		found[family.GetName()] = values
	}
	return found
}

// problems says what an alert selects or groups by that no series has: it would be silent for ever.
func (l labelled) problems(alert alertRule) []string {
	var problems []string
	for _, name := range metricNames(alert.Expr) {
		if l[name] == nil && !fromElsewhere[name] {
			problems = append(problems, name+" has no series before something happens")
		}
	}
	for _, selector := range promSelector.FindAllStringSubmatch(alert.Expr, -1) {
		name := selector[1]
		for _, matcher := range promMatcher.FindAllStringSubmatch(selector[2], -1) {
			values, ok := l[name][matcher[1]]
			if !fromElsewhere[name] && (!ok || matcher[2] == "=" && !slices.Contains(values, matcher[3])) {
				problems = append(problems, "no series of "+name+" has "+matcher[0])
			}
		}
	}
	var grouped []string
	for _, by := range promBy.FindAllStringSubmatch(alert.Expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			label = strings.TrimSpace(label)
			grouped = append(grouped, label)
			if !slices.ContainsFunc(metricNames(alert.Expr), func(name string) bool { return l[name][label] != nil }) {
				problems = append(problems, "it groups by "+label+", which no metric has")
			}
		}
	}
	for _, named := range alertLabel.FindAllStringSubmatch(alert.Annotations["summary"], -1) {
		if !slices.Contains(grouped, named[1]) {
			problems = append(problems, "its summary names the label "+named[1]+", which it does not keep")
		}
	}
	return problems
}

// An alert of an absent series, or of a label that has no such value, never calls anybody.
func TestEverySeriesOfAnAlertExistsBeforeAnythingHappens(t *testing.T) {
	t.Parallel()
	series := labelsOf(t, everything(t))
	for _, alert := range allAlerts(t) {
		for _, problem := range series.problems(alert) {
			t.Errorf("%s: %s", alert.Alert, problem)
		}
	}
}

func TestAlertsOfSeriesThatNobodyHasAreFound(t *testing.T) {
	t.Parallel()
	series := labelled{"a": {"kind": {"x", "y"}}}
	for expr, want := range map[string]string{
		`max by (kind) (a{kind="x"}) > 0`: "",
		`max(a{kind=~"x|z"}) > 0`:         "",
		`max(a{kind="z"}) > 0`:            `no series of a has kind="z"`,
		`max(a{state!="x"}) > 0`:          `no series of a has state!="x"`,
		`max by (state) (a) > 0`:          "it groups by state, which no metric has",
		`max(b) > 0`:                      "b has no series before something happens",
		`absent(up{process="p"} == 1)`:    "",
	} {
		if got := strings.Join(series.problems(alertRule{Expr: expr}), "; "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
	got := series.problems(alertRule{Expr: `max(a) > 0`, Annotations: map[string]string{"summary": "{{ $labels.kind }} is wrong."}})
	if len(got) != 1 {
		t.Errorf("a label that is lost in max is named: %q", got)
	}
}

// A result that is new to an alert's list would call nobody. Probes are refused as they should be.
func TestEveryResultThatTurnsANoticeAwayCallsSomebody(t *testing.T) {
	t.Parallel()
	const metric = "settled_intake_notices_total"
	taken := []string{"confirmed", "suspended", "answered", "revised", "replayed", "contradicted", "acknowledged"}
	var watched []string
	for _, alert := range allAlerts(t) {
		if alert.Alert != "ChannelsNoticesAreRefused" {
			continue
		}
		for _, selector := range promSelector.FindAllStringSubmatch(alert.Expr, -1) {
			for _, matcher := range promMatcher.FindAllStringSubmatch(selector[2], -1) {
				if selector[1] == metric && matcher[1] == "result" {
					watched = append(watched, strings.Split(matcher[3], "|")...)
				}
			}
		}
	}
	results := labelsOf(t, everything(t))[metric]["result"]
	for _, result := range results {
		if !slices.Contains(taken, result) && result != "probe" && !slices.Contains(watched, result) {
			t.Errorf("notices that are %s call nobody", result)
		}
	}
	if len(results) == 0 {
		t.Error("no notice has a result")
	}
}

// What the promises of the README rest on is watched, whatever the alerts are called.
func TestWhatTheBooksRestOnIsWatched(t *testing.T) {
	t.Parallel()
	var watched []string
	for _, alert := range allAlerts(t) {
		watched = append(watched, metricNames(alert.Expr)...)
	}
	for _, name := range []string{"settled_ledger_audit_ok", "settled_ledger_audit_age_seconds", "settled_worker_backlog_requests",
		"settled_worker_backlog_oldest_seconds", "settled_worker_channel_conflicts_total", "settled_scheduler_slot_lag_seconds",
		"settled_worker_collector_up"} {
		if !slices.Contains(watched, name) {
			t.Errorf("no alert reads %s", name)
		}
	}
}

func TestEveryProcessThatIsScrapedIsMissedWhenNoneIsUp(t *testing.T) {
	t.Parallel()
	var config struct {
		ScrapeConfigs []struct {
			JobName        string                     `yaml:"job_name"`
			DNSSDConfig    []struct{ Names []string } `yaml:"dns_sd_configs"`
			RelabelConfigs []struct {
				SourceLabels []string `yaml:"source_labels"`
				TargetLabel  string   `yaml:"target_label"`
			} `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus.yml", &config)
	var expressions []string
	for _, alert := range allAlerts(t) {
		expressions = append(expressions, alert.Expr)
	}
	processes := 0
	for _, job := range config.ScrapeConfigs {
		for _, found := range job.DNSSDConfig {
			relabels := job.RelabelConfigs
			if len(relabels) != 1 || relabels[0].TargetLabel != "process" || !slices.Equal(relabels[0].SourceLabels, []string{"__meta_dns_name"}) {
				t.Errorf("job %s does not label its targets with their process: %+v", job.JobName, relabels)
			}
			for _, process := range found.Names {
				processes++
				want := fmt.Sprintf(`absent(up{job=%q,process=%q} == 1)`, job.JobName, process)
				if !slices.Contains(expressions, want) {
					t.Errorf("no alert says %s", want)
				}
			}
		}
	}
	if processes == 0 {
		t.Error("no process is scraped")
	}
}

// An alert calls a person, who must be told what it is about and what to do.
func TestEveryAlertSaysWhatIsWrongAndHasARunbookEntry(t *testing.T) {
	t.Parallel()
	headings := runbookHeadings(t)
	seen := map[string]bool{}
	for _, alert := range allAlerts(t) {
		if alert.Alert == "" || seen[alert.Alert] {
			t.Errorf("alert %q has no name of its own", alert.Alert)
		}
		seen[alert.Alert] = true
		if alert.For != "" {
			if _, err := time.ParseDuration(alert.For); err != nil {
				t.Errorf("%s: %v", alert.Alert, err)
			}
		}
		if severity := alert.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s has the severity %q; page wakes somebody, ticket waits for the morning", alert.Alert, severity)
		}
		if !strings.HasSuffix(alert.Annotations["summary"], ".") {
			t.Errorf("%s: its summary is no sentence: %q", alert.Alert, alert.Annotations["summary"])
		}
		heading, ok := strings.CutPrefix(alert.Annotations["runbook"], "docs/runbook.md#")
		if !ok || !headings[heading] {
			t.Errorf("%s: %q is no heading of the runbook", alert.Alert, alert.Annotations["runbook"])
		}
	}
}

// runbookHeadings are the anchors that a Markdown viewer gives the runbook's headings.
func runbookHeadings(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		title, ok := strings.CutPrefix(strings.TrimSpace(line), "## ")
		if !ok {
			continue
		}
		headings[strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)] = true
	}
	return headings
}
