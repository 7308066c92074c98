package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds one readiness check: shorter than the timeouts of those who ask, so that they get our answer.
const checkTimeout = 2 * time.Second

// Check says whether one thing that the process needs is there.
type Check struct {
	Name string
	// Ready returns nil when it is. Its error is shown on /readyz, so it must hold no secret. It may run several times at
	// once, and must return when its context ends.
	Ready func(context.Context) error
}

// HandlerConfig configures NewHandler.
type HandlerConfig struct {
	// Gatherer is what /metrics shows. Required.
	Gatherer prometheus.Gatherer
	// Checks decide what /readyz answers. Defaults to none: always ready.
	Checks []Check
	// Pprof serves profiles under /debug/pprof/. Defaults to false.
	Pprof bool
}

// NewHandler serves the pages that the package's comment lists.
func NewHandler(config HandlerConfig) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// One collector that fails must not hide all others.
		ErrorHandling: promhttp.ContinueOnError,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { serveReadiness(w, r, config.Checks) })
	index := "/metrics\n/healthz\n/readyz\n"
	if config.Pprof {
		index += "/debug/pprof/\n"
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, index) })
	return mux
}

// serveReadiness asks all checks at once and tells each one's answer, in their order.
func serveReadiness(w http.ResponseWriter, r *http.Request, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	problems := make([]error, len(checks))
	var asking sync.WaitGroup
	for i, check := range checks {
		asking.Go(func() { problems[i] = check.Ready(ctx) })
	}
	asking.Wait()
	status, answer := http.StatusOK, strings.Builder{}
	for i, check := range checks {
		if problems[i] == nil {
			fmt.Fprintf(&answer, "%s: ok\n", check.Name)
			continue
		}
		status = http.StatusServiceUnavailable
		fmt.Fprintf(&answer, "%s: %s\n", check.Name, oneLine(problems[i].Error()))
	}
	if len(checks) == 0 {
		answer.WriteString("ok\n")
	}
	writeText(w, status, answer.String())
}

// oneLine keeps a foreign error from looking like another check's line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the asker has left
}
