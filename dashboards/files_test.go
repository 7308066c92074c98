package dashboards_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// panel is what the tests read of a Grafana panel.
type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Datasource  struct{ UID string }
	Targets     []struct {
		RefID      string
		Expr       string
		Datasource struct{ UID string }
	}
}

type dashboard struct {
	UID    string
	Title  string
	Panels []panel
}

func dashboardFiles(t *testing.T) map[string]dashboard {
	t.Helper()
	names, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d dashboards: %v", len(names), err)
	}
	found := map[string]dashboard{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found[name] = d
	}
	return found
}

// allPanels are those that show something; rows do not.
func allPanels(t *testing.T) []panel {
	t.Helper()
	var panels []panel
	for _, d := range dashboardFiles(t) {
		for _, p := range d.Panels {
			if p.Type != "row" {
				panels = append(panels, p)
			}
		}
	}
	return panels
}

func TestEveryPanelAsksAQuestion(t *testing.T) {
	t.Parallel()
	for _, p := range allPanels(t) {
		if !strings.HasSuffix(p.Title, "?") {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
}

func TestPanelsHaveTheirOwnIDsAndPlaces(t *testing.T) {
	t.Parallel()
	for name, d := range dashboardFiles(t) {
		ids := map[int]bool{}
		for i, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: id %d is used twice", name, p.ID)
			}
			ids[p.ID] = true
			a := p.GridPos
			if a.W < 1 || a.H < 1 || a.X+a.W > 24 {
				t.Errorf("%s: panel %q lies at %+v", name, p.Title, a)
			}
			for _, other := range d.Panels[:i] {
				b := other.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: panel %q lies over %q", name, p.Title, other.Title)
				}
			}
		}
	}
}

// readYAML reads one of the configurations; unknown fields are left to the program that they are for.
func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

type composeFile struct {
	Services map[string]struct {
		Build       any
		Command     []string
		Volumes     []string
		HealthCheck struct{ Disable bool }
	}
}

func TestGrafanaFindsPrometheusAndTheDashboards(t *testing.T) {
	t.Parallel()
	var sources struct {
		Datasources []struct{ UID, URL string }
	}
	readYAML(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Fatalf("datasources %+v", sources.Datasources)
	}
	uid := sources.Datasources[0].UID
	for _, p := range allPanels(t) {
		if p.Datasource.UID != uid {
			t.Errorf("panel %q reads from %q, want %q", p.Title, p.Datasource.UID, uid)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != uid {
				t.Errorf("panel %q, target %s reads from %q, want %q", p.Title, target.RefID, target.Datasource.UID, uid)
			}
		}
	}

	var providers struct {
		Providers []struct {
			Options struct{ Path string }
		}
	}
	readYAML(t, "grafana/provisioning/dashboards/settled.yml", &providers)
	var compose composeFile
	readYAML(t, "../docker-compose.yml", &compose)
	for _, mount := range []string{
		"./dashboards/grafana/provisioning:/etc/grafana/provisioning:ro",
		"./dashboards/grafana/dashboards:" + providers.Providers[0].Options.Path + ":ro",
	} {
		if !slices.Contains(compose.Services["grafana"].Volumes, mount) {
			t.Errorf("docker-compose.yml does not mount %s", mount)
		}
	}
}

func TestPrometheusScrapesEveryProcess(t *testing.T) {
	t.Parallel()
	var config struct {
		ScrapeConfigs []struct {
			JobName     string `yaml:"job_name"`
			DNSSDConfig []struct {
				Names []string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus.yml", &config)
	var scraped []string
	for _, job := range config.ScrapeConfigs {
		for _, found := range job.DNSSDConfig {
			if job.JobName != "settled" || found.Port != 9090 {
				t.Errorf("job %s scrapes %v on port %d; the panels read job settled", job.JobName, found.Names, found.Port)
			}
			scraped = append(scraped, found.Names...)
		}
	}
	var compose composeFile
	readYAML(t, "../docker-compose.yml", &compose)
	var serving []string
	for name, service := range compose.Services {
		if len(service.Command) > 0 && name == service.Command[0] && !service.HealthCheck.Disable {
			serving = append(serving, name)
		}
	}
	slices.Sort(scraped)
	serving = slices.DeleteFunc(serving, func(name string) bool { return name == "postgres" })
	slices.Sort(serving)
	if !slices.Equal(scraped, serving) {
		t.Errorf("Prometheus scrapes %v, docker-compose.yml serves %v", scraped, serving)
	}
}
