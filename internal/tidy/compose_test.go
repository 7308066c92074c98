package tidy

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "docker-compose.yml"

// loadCompose loads a Compose file as docker compose does, with the schema
// validated, and with no variables but those given.
func loadCompose(ctx context.Context, text string, environment map[string]string) (*types.Project, error) {
	top, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find the repository's top: %w", err)
	}
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  top,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(top, composeFile), Content: []byte(text)}},
		Environment: environment,
	})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", composeFile, err)
	}
	return project, nil
}

func readTop(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestComposeFileStartsTheWholeSystem(t *testing.T) {
	t.Parallel()
	for name, environment := range map[string]map[string]string{
		"with its defaults":      nil,
		"with passwords of ours": {"POSTGRES_PASSWORD": "one", "GRAFANA_PASSWORD": "two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project, err := loadCompose(t.Context(), readTop(t, composeFile), environment)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"alertmanager", "api", "grafana", "migrate", "postgres", "prometheus", "redis", "scheduler", "simulator", "worker"}
			if got := project.ServiceNames(); !slices.Equal(got, want) {
				t.Errorf("services %v, want %v", got, want)
			}
			report(t, checkCompose(project))
		})
	}
}

// checkCompose finds what would make the stack lose work, start in the wrong
// order, stay down, or be open to the network.
func checkCompose(project *types.Project) []string {
	var findings []string
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		problems := checkService(service, isOneShot(project, name))
		problems = append(problems, checkDependencies(project, service)...)
		if usesStores(service) {
			problems = append(problems, checkAddresses(project, service)...)
		}
		for _, problem := range problems {
			findings = append(findings, name+": "+problem)
		}
	}
	findings = append(findings, checkStores(project)...)
	return append(findings, checkChannels(project)...)
}

// checkChannels finds a process that does not see the channels that the simulator makes, or may change them.
func checkChannels(project *types.Project) []string {
	const dir = "/channels"
	var findings []string
	for _, name := range []string{"api", "worker", "simulator"} {
		service := project.Services[name]
		flag := map[bool]string{true: "--channels " + dir, false: "--dir " + dir}[name != "simulator"]
		if !strings.Contains(strings.Join(service.Command, " "), flag) {
			findings = append(findings, fmt.Sprintf("%s: is not started with %s", name, flag))
		}
		if !slices.ContainsFunc(service.Volumes, func(volume types.ServiceVolumeConfig) bool {
			return volume.Source == "channels" && volume.Target == dir && volume.ReadOnly == (name != "simulator")
		}) {
			findings = append(findings, name+": has no volume at "+dir+", or may write where it reads")
		}
	}
	return findings
}

// isOneShot reports whether others wait for the service to end well.
func isOneShot(project *types.Project, name string) bool {
	for _, service := range project.Services {
		if service.DependsOn[name].Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

// usesStores reports whether a service is one of settled's own that keeps books: the simulator stands for others.
func usesStores(service types.ServiceConfig) bool {
	return service.Build != nil && (len(service.Command) == 0 || service.Command[0] != "simulate")
}

func checkService(service types.ServiceConfig, oneShot bool) []string {
	var problems []string
	if service.Restart == "" || service.Restart == types.RestartPolicyNo {
		problems = append(problems, "has no restart policy")
	}
	if oneShot && !strings.HasPrefix(service.Restart, types.RestartPolicyOnFailure) {
		problems = append(problems, "runs once, and would be started again after it has succeeded")
	}
	health := service.HealthCheck
	if unchecked := health == nil || health.Disable || len(health.Test) == 0; unchecked && !oneShot {
		problems = append(problems, "has no health check")
	}
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			problems = append(problems, fmt.Sprintf("publishes port %s beyond the loopback address", port.Published))
		}
	}
	return problems
}

// checkDependencies finds dependencies that are not waited for until they can
// serve, and settled's own services that start without what they need.
func checkDependencies(project *types.Project, service types.ServiceConfig) []string {
	var problems []string
	for name, dependency := range service.DependsOn {
		want := types.ServiceConditionHealthy
		if isOneShot(project, name) {
			want = types.ServiceConditionCompletedSuccessfully
		}
		if dependency.Condition != want {
			problems = append(problems, fmt.Sprintf("waits for %s to be %s, want %s", name, dependency.Condition, want))
		}
	}
	if !usesStores(service) {
		return problems
	}
	needs := []string{"postgres", "redis", "migrate"}
	if isOneShot(project, service.Name) {
		needs = needs[:1]
	}
	for _, need := range needs {
		if _, found := service.DependsOn[need]; !found {
			problems = append(problems, "does not wait for "+need)
		}
	}
	return problems
}

// checkAddresses finds settings of settled's services that point to nowhere, or
// carry another password than the database is started with.
func checkAddresses(project *types.Project, service types.ServiceConfig) []string {
	var problems []string
	for variable, port := range map[string]string{"DATABASE_URL": "5432", "REDIS_URL": "6379"} {
		value := service.Environment[variable]
		if value == nil {
			problems = append(problems, "has no "+variable)
			continue
		}
		address, err := url.Parse(*value)
		if err != nil {
			problems = append(problems, variable+" is no URL")
			continue
		}
		if _, found := project.Services[address.Hostname()]; !found || address.Port() != port {
			problems = append(problems, variable+" points to "+address.Host+", where nothing listens")
		}
		if variable != "DATABASE_URL" {
			continue
		}
		given, _ := address.User.Password()
		wanted := project.Services["postgres"].Environment["POSTGRES_PASSWORD"]
		if wanted == nil || given != *wanted {
			problems = append(problems, variable+" carries another password than the database's")
		}
	}
	return problems
}

// checkStores finds settings under which PostgreSQL or Redis would forget what
// they have taken.
func checkStores(project *types.Project) []string {
	var findings []string
	for _, c := range []struct{ service, setting, volume string }{
		{"postgres", "-c synchronous_commit=on", "/var/lib/postgresql/data"},
		{"redis", "--maxmemory-policy noeviction", "/data"},
		{"redis", "--appendonly yes", "/data"},
	} {
		service := project.Services[c.service]
		if !strings.Contains(strings.Join(service.Command, " "), c.setting) {
			findings = append(findings, fmt.Sprintf("%s: is not started with %s", c.service, c.setting))
		}
		if !slices.ContainsFunc(service.Volumes, func(volume types.ServiceVolumeConfig) bool {
			return volume.Type == types.VolumeTypeVolume && volume.Target == c.volume
		}) {
			findings = append(findings, fmt.Sprintf("%s: has no volume at %s", c.service, c.volume))
		}
	}
	return slices.Compact(findings)
}

func TestPlantedComposeMistakesAreFound(t *testing.T) {
	t.Parallel()
	text := readTop(t, composeFile)
	for _, c := range []struct{ from, to, want string }{
		{"noeviction, --", "allkeys-lru, --", "redis: is not started with --maxmemory-policy noeviction"},
		{`--appendonly, "yes"`, `--appendonly, "no"`, "redis: is not started with --appendonly yes"},
		{"synchronous_commit=on", "synchronous_commit=off", "postgres: is not started with -c synchronous_commit=on"},
		{"postgres-data:/var/lib/postgresql/data", "postgres-data:/data", "postgres: has no volume"},
		{"127.0.0.1:8080:8080", "8080:8080", "api: publishes port 8080 beyond"},
		{"127.0.0.1:5432:5432", "0.0.0.0:5432:5432", "postgres: publishes port 5432 beyond"},
		{"test: [CMD, redis-cli, ping]", "disable: true", "redis: has no health check"},
		{"restart: on-failure:3", "restart: always", "migrate: runs once"},
		{"restart: on-failure:3", `restart: "no"`, "migrate: has no restart policy"},
		{"redis: {condition: service_healthy}", "redis: {condition: service_started}", "worker: waits for redis to be service_started"},
		{"    redis: {condition: service_healthy}\n", "", "scheduler: does not wait for redis"},
		{"    migrate: {condition: service_completed_successfully}\n", "", "api: does not wait for migrate"},
		{"[api, --channels, /channels]", "[api]", "api: is not started with --channels /channels"},
		{`["channels:/channels:ro"]`, `["channels:/channels"]`, "api: has no volume at /channels"},
		{"--dir, /channels", "--dir, /tmp", "simulator: is not started with --dir /channels"},
		{"@postgres:5432", "@localhost:5432", "api: DATABASE_URL points to localhost:5432"},
		{"redis://redis:6379/0", "redis://redis:6380/0", "api: REDIS_URL points to redis:6380"},
		{"settled:${POSTGRES_PASSWORD:-settled}@", "settled:wrong@", "api: DATABASE_URL carries another password"},
	} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(text, c.from) {
				t.Fatalf("%s has no %q to change", composeFile, c.from)
			}
			project, err := loadCompose(t.Context(), strings.Replace(text, c.from, c.to, 1), nil)
			if err != nil {
				t.Fatal(err)
			}
			findings := checkCompose(project)
			if !slices.ContainsFunc(findings, func(f string) bool { return strings.HasPrefix(f, c.want) }) {
				t.Errorf("found %q, want %q", findings, c.want)
			}
		})
	}
}

func TestMistypedComposeFileIsRefused(t *testing.T) {
	t.Parallel()
	text := readTop(t, composeFile)
	for from, to := range map[string]string{
		"restart: on-failure:3":                                 "restarts: on-failure:3",
		"    postgres: {condition: service_healthy}\n    redis": "    postgresql: {condition: service_healthy}\n    redis",
		"redis-data:/data":                                      "rediss-data:/data",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("%s has no %q to change", composeFile, from)
		}
		if _, err := loadCompose(t.Context(), strings.Replace(text, from, to, 1), nil); err == nil {
			t.Errorf("%q in place of %q was taken", to, from)
		}
	}
}
