package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

var listenLine = regexp.MustCompile(`msg="(api|telemetry) listens" address=(\S+)`)

// While Redis is down the API accepts, ready as ever; a worker that was started meanwhile applies all of it once Redis is back, empty.
func TestAPIAcceptsWhileRedisIsDownAndAllIsAppliedWhenItIsBack(t *testing.T) {
	t.Parallel()
	db, server := pgtest.New(t), redistest.New(t)
	ledgertest.Audit(t, db)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	c := call{env: map[string]string{"DATABASE_URL": db.URL, "REDIS_URL": server.URL}}
	key := strings.TrimSpace(c.run(t, "key", "create", "--producer", "shop", "--scope", "rewards:write,read").stdout)
	api := c.start(t, "api", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	log := api.says(api.stderr, "msg=started")
	addresses := map[string]string{}
	for _, found := range listenLine.FindAllStringSubmatch(log, -1) {
		addresses[found[1]] = "http://" + found[2]
	}
	client := accesstest.Client(key)
	for _, id := range []string{"w1", "w2", "w3"} {
		response, err := client.Post(addresses["api"]+"/v1/requests/reward:grant", "application/json", strings.NewReader(
			`{"reward_id":"`+id+`","user_id":"u1","campaign_id":"c1","amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			t.Errorf("%s: %s while Redis is down, want it accepted", id, response.Status)
		}
	}
	if status, body := fetch(t, addresses["telemetry"]+"/readyz"); status != http.StatusOK {
		t.Errorf("readiness: %d %s", status, body)
	}
	c.start(t, "worker", "--metrics-listen", "off")
	if err := server.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"w1", "w2", "w3"} {
		until(t, id+" is applied", c.applied(t, "reward:grant", id))
	}
	c.run(t, "balance", "u1").expect(t, exitOK, "3.00")
}

// After a power cut PostgreSQL may be the last to come: every process waits for it, tells so, and serves without being started again.
func TestProcessesThatStartBeforePostgreSQLServeOnceItIsThere(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	c := call{env: map[string]string{"DATABASE_URL": server.URL, "REDIS_URL": redistest.New(t).URL, "SETTLED_METRICS_LISTEN": "127.0.0.1:0",
		"SETTLED_CHANNELS": wechatSettings(t)}}
	c.run(t, "migrate").expect(t, exitOK)
	key := strings.TrimSpace(c.run(t, "key", "create", "--producer", "shop", "--scope", "rewards:write,read").stdout)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	api, worker, scheduler := c.start(t, "api", "--listen", "127.0.0.1:0"), c.start(t, "worker"), c.start(t, "scheduler")
	all := []*process{api, worker, scheduler}
	addresses := map[*process]map[string]string{}
	for _, p := range all {
		addresses[p] = map[string]string{}
		for _, found := range listenLine.FindAllStringSubmatch(p.says(p.stderr, `msg="waiting for PostgreSQL"`), -1) {
			addresses[p][found[1]] = "http://" + found[2]
		}
		if status, body := fetch(t, addresses[p]["telemetry"]+"/readyz"); status != http.StatusServiceUnavailable ||
			!strings.Contains(body, "postgres: did not answer yet") {
			t.Errorf("readiness without PostgreSQL: %d %s", status, body)
		}
		if status, body := fetch(t, addresses[p]["telemetry"]+"/healthz"); status != http.StatusOK {
			t.Errorf("health without PostgreSQL: %d %s", status, body)
		}
	}
	ask := func(path, body string) (*http.Response, string) {
		return posted(t, key, addresses[api]["api"]+path, body)
	}
	const reward = `{"reward_id":"w1","user_id":"u1","campaign_id":"c1","amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`
	for _, path := range []string{"/v1/requests/reward:grant", "/v1/requests"} {
		if got, _ := ask(path, reward); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s without PostgreSQL: %s %v", path, got.Status, got.Header)
		}
	}
	if got, text := ask("/v1/notices/wechat", "{}"); got.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(text, `{"code":"FAIL"`) {
		t.Errorf("a notice without PostgreSQL: %s %s", got.Status, text)
	}
	if err := server.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		p.says(p.stderr, "msg=started")
		until(t, "the process is ready", func() bool {
			status, _ := fetch(t, addresses[p]["telemetry"]+"/readyz")
			return status == http.StatusOK
		})
	}
	if got, _ := ask("/v1/requests/reward:grant", reward); got.StatusCode != http.StatusAccepted {
		t.Errorf("with PostgreSQL: %s", got.Status)
	}
	until(t, "w1 is applied", c.applied(t, "reward:grant", "w1"))
	c.run(t, "audit").expect(t, exitOK)
}

// posted posts JSON with an API key, and returns the answer and its text.
func posted(t *testing.T, key, url, body string) (*http.Response, string) {
	t.Helper()
	response, err := accesstest.Client(key).Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// wechatSettings is a directory with the settings of WeChat Pay.
func wechatSettings(t *testing.T) string {
	t.Helper()
	for _, kind := range dialects.All() {
		if kind.Source != tasks.SourceWeChat {
			continue
		}
		dialect, err := kind.New(clock.System)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := simulate.WriteSettings(dir, dialect, "http://127.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Fatal("WeChat Pay is not simulated")
	return ""
}

// What waits for PostgreSQL ends when it is told to, and a PostgreSQL that answers and cannot serve is no reason to wait.
func TestProcessesDoNotWaitForTablesAndEndWhileTheyWait(t *testing.T) {
	t.Parallel()
	empty := call{env: map[string]string{"DATABASE_URL": pgtest.New(t, pgtest.Empty()).URL, "REDIS_URL": "redis://127.0.0.1:1/0",
		"SETTLED_METRICS_LISTEN": "off", "SETTLED_LISTEN": "127.0.0.1:0"}}
	away := call{env: map[string]string{"DATABASE_URL": "postgres://ada:s3cr3t@127.0.0.1:1/books", "REDIS_URL": "redis://127.0.0.1:1/0",
		"SETTLED_METRICS_LISTEN": "off", "SETTLED_LISTEN": "127.0.0.1:0"}}
	for _, name := range []string{"api", "worker", "scheduler"} {
		empty.run(t, name).expect(t, exitTrouble, "run `settled migrate` first")
		p := away.start(t, name)
		if log := p.says(p.stderr, "waiting for PostgreSQL"); strings.Contains(log, "s3cr3t") || !strings.Contains(log, "127.0.0.1:1/books") {
			t.Errorf("%s: %s", name, log)
		}
		if code := p.stop(); code != exitOK {
			t.Errorf("%s: exit code %d while it waits, want %d", name, code, exitOK)
		}
	}
}
