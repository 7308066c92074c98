package dashboards_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
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
