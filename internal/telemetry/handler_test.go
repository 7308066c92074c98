package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/settled-dev/settled/internal/telemetry"
)

func get(t *testing.T, handler http.Handler, path string) (status int, body string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return recorder.Code, recorder.Body.String()
}

func TestMetricsPageShowsTheRegistry(t *testing.T) {
	t.Parallel()
	handler := telemetry.NewHandler(telemetry.HandlerConfig{Gatherer: telemetry.NewRegistry()})
	status, body := get(t, handler, "/metrics")
	if status != http.StatusOK || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "go_build_info") {
		t.Errorf("status %d, body:\n%s", status, body)
	}
}

func TestHealthDoesNotDependOnTheChecks(t *testing.T) {
	t.Parallel()
	handler := telemetry.NewHandler(telemetry.HandlerConfig{Gatherer: telemetry.NewRegistry(), Checks: []telemetry.Check{
		{Name: "postgres", Ready: func(context.Context) error { return errors.New("away") }},
	}})
	if status, body := get(t, handler, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	ready := func(context.Context) error { return nil }
	for _, c := range []struct {
		name   string
		checks []telemetry.Check
		status int
		body   string
	}{
		{"no checks", nil, 200, "ok\n"},
		{"all ready", []telemetry.Check{{"postgres", ready}, {"redis", ready}}, 200, "postgres: ok\nredis: ok\n"},
		{"one away", []telemetry.Check{
			{"postgres", func(context.Context) error { return errors.New("connect:\nrefused\n") }}, {"redis", ready},
		}, 503, "postgres: connect: refused\nredis: ok\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handler := telemetry.NewHandler(telemetry.HandlerConfig{Gatherer: telemetry.NewRegistry(), Checks: c.checks})
			if status, body := get(t, handler, "/readyz"); status != c.status || body != c.body {
				t.Errorf("readyz: %d %q, want %d %q", status, body, c.status, c.body)
			}
		})
	}
}

func TestProfilesAreServedOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	for pprof, want := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		handler := telemetry.NewHandler(telemetry.HandlerConfig{Gatherer: telemetry.NewRegistry(), Pprof: pprof})
		if status, _ := get(t, handler, "/debug/pprof/"); status != want {
			t.Errorf("pprof %t: status %d, want %d", pprof, status, want)
		}
		if _, index := get(t, handler, "/"); strings.Contains(index, "pprof") != pprof {
			t.Errorf("pprof %t: the index says %q", pprof, index)
		}
	}
}
