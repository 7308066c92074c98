package dashboards_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/scheduler"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
	"github.com/settled-dev/settled/worker"
)

// exported knows the metrics of the collectors that are registered through it, also of those that have no series yet.
type exported struct {
	*prometheus.Registry
	names map[string]bool
}

var describedName = regexp.MustCompile(`fqName: "([^"]+)"`)

func (e exported) Register(collector prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 64)
	go func() {
		collector.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		e.names[describedName.FindStringSubmatch(desc.String())[1]] = true
	}
	return e.Registry.Register(collector)
}

func (e exported) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		if err := e.Register(collector); err != nil {
			panic(err)
		}
	}
}

// has says whether a series of that name can be exported: a histogram has three.
func (e exported) has(name string) bool {
	if e.names[name] {
		return true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, cut := strings.CutSuffix(name, suffix); cut && e.names[base] {
			return true
		}
	}
	return false
}

// everything registers the metrics of every process of the system, as the binary does, and has a request applied.
func everything(t *testing.T) exported {
	t.Helper()
	e := exported{Registry: prometheus.NewPedanticRegistry(), names: map[string]bool{}}
	db, server := pgtest.New(t), redistest.New(t)
	ledgertest.Audit(t, db)
	options, err := worker.RedisOptions(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	producer, err := tasks.NewClient(t.Context(), db.Pool, tasks.NewDoorbell(client), tasks.ClientConfig{Producer: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	books, err := ledger.Open(t.Context(), db.Pool, ledger.Config{Rules: rules.All(), Registerer: e})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(books.Close)
	if _, err := worker.New(t.Context(), worker.Config{Ledger: books, Client: producer, Pool: db.Pool, Redis: client, Registerer: e,
		Refunders: map[tasks.Source]channel.Refunder{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := scheduler.New(scheduler.Config{Pool: db.Pool, Client: producer, Name: "test", Registerer: e}); err != nil {
		t.Fatal(err)
	}
	intake.NewCommitMetrics(e)
	intake.NewAPI(intake.Config{Client: producer, Reader: ledger.NewReader(db.Pool), Registerer: e})
	notice.NewHandler(notice.Config{Pool: db.Pool, Client: producer, Registerer: e})
	inquiry.New(inquiry.Config{Pool: db.Pool, Registerer: e})
	channels, err := roster.Open(t.TempDir(), http.DefaultClient, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e.MustRegister(channels)
	webhook.NewCourier(webhook.Config{Pool: db.Pool, Registerer: e})
	audits := telemetry.NewAuditMetrics(e, clock.System)
	audits.Finished([]telemetry.Finding{{Invariant: "I1", OK: true}}, 0)

	receipt, err := producer.Enqueue(t.Context(), ledgertest.Reward("rw1", "u1", "1.00"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := books.Apply(t.Context(), receipt.Book, receipt.ID); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryMetricOfAPanelIsExported(t *testing.T) {
	t.Parallel()
	e := everything(t)
	read := 0
	for _, p := range allPanels(t) {
		for _, target := range p.Targets {
			names := metricNames(target.Expr)
			if len(names) == 0 {
				t.Errorf("panel %q: %s reads no metric", p.Title, target.Expr)
			}
			for _, name := range names {
				read++
				if !e.has(name) && !fromElsewhere[name] {
					t.Errorf("panel %q: %s is exported by nothing", p.Title, name)
				}
			}
		}
	}
	if read < 30 {
		t.Errorf("the panels read %d metrics: they were not found", read)
	}
}

// fromElsewhere are metrics of Prometheus itself and of client_golang's collectors, which telemetry.NewRegistry exports.
var fromElsewhere = map[string]bool{"up": true, "process_cpu_seconds_total": true, "process_resident_memory_bytes": true}

func TestRuntimeMetricsOfPanelsAreExported(t *testing.T) {
	t.Parallel()
	families, err := telemetry.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{"up": true}
	for _, family := range families {
		found[family.GetName()] = true
	}
	for name := range fromElsewhere {
		if !found[name] {
			t.Errorf("%s is not exported", name)
		}
	}
}

func TestMetricsFollowTheNamingRules(t *testing.T) {
	t.Parallel()
	e := everything(t)
	problems, err := testutil.GatherAndLint(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	families, err := e.Gather()
	if err != nil {
		t.Fatal(err)
	}
	linted := map[string]bool{}
	for _, family := range families {
		linted[family.GetName()] = true
		if help := family.GetHelp(); !strings.HasSuffix(help, ".") {
			t.Errorf("%s: its help is no sentence: %q", family.GetName(), help)
		}
	}
	for name := range e.names {
		words := strings.SplitN(name, "_", 3)
		if words[0] != "settled" {
			t.Errorf("%s: has another namespace than settled", name)
			continue
		}
		if _, err := os.Stat(filepath.Join("..", words[1])); err != nil {
			t.Errorf("%s: names no room: %v", name, err)
		}
		if !linted[name] && !unseen[name] {
			t.Errorf("%s has no series and was not looked at: preset its labels", name)
		}
	}
}

// unseen are metrics that get their series from a running worker, or when something goes wrong; the test of the whole system lints
// what it has seen of them.
var unseen = map[string]bool{"settled_worker_task_seconds": true, "settled_worker_redis_errors_total": true}

func TestRegistryOfThisTestSeesMetricsWithoutSeries(t *testing.T) {
	t.Parallel()
	e := exported{Registry: prometheus.NewPedanticRegistry(), names: map[string]bool{}}
	e.MustRegister(prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a_total"}, []string{"x"}),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "b_seconds"}))
	got := fmt.Sprint(e.has("a_total"), e.has("b_seconds_bucket"), e.has("b_seconds_count"), e.has("c_total"), e.has("a"))
	if got != "true true true false false" {
		t.Error(got)
	}
}
