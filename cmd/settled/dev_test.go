package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// fetch asks a URL and returns what it answers.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	return fetchBy(t, http.DefaultClient, url)
}

func fetchBy(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// until asks again and again until the answer is yes.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !yes() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (c call) applied(t *testing.T, kind, key string) func() bool {
	return func() bool {
		got := c.run(t, "show", kind, key, "--json")
		if got.code == exitNo {
			return false
		}
		var record ledger.Record
		parse(t, got, &record)
		return record.State == "applied"
	}
}

var (
	addressLine = regexp.MustCompile(`(API|channels|metrics) +(http://\S+)`)
	keyLine     = regexp.MustCompile(`export SETTLED_API_KEY='(sk_\w{16}_[\w-]{43})'`)
)

func TestDevRunsTheWholeSystem(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Books(0))
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL, "REDIS_URL": redistest.New(t).URL}}
	system := c.start(t, "dev", "--books", "2")
	greeting := system.says(system.stdout, "ready; Ctrl-C ends it")
	addresses := map[string]string{}
	for _, found := range addressLine.FindAllStringSubmatch(greeting, -1) {
		addresses[found[1]] = found[2]
	}
	key := keyLine.FindStringSubmatch(greeting)
	if key == nil || !strings.Contains(greeting, `AUTH="Authorization: Bearer $SETTLED_API_KEY"`) ||
		!strings.Contains(greeting, `curl -s -H "$AUTH" $SETTLED_API/`) || !strings.Contains(greeting, "SETTLED_API='"+addresses["API"]+"'") {
		t.Fatalf("no key, or no use of it, in:\n%s", greeting)
	}
	api := accesstest.Client(key[1])
	if strings.Contains(greeting, db.URL) || len(addresses) != 3 { // what was given may hold a password
		t.Fatalf("greeting:\n%s", greeting)
	}

	rechargeAndRefund(t, c, api, addresses["API"], addresses["channels"])
	if status, _ := fetch(t, addresses["API"]+"/v1/users/u1/balances"); status != http.StatusUnauthorized {
		t.Errorf("balances without a key: %d", status)
	}
	if status, body := fetchBy(t, api, addresses["API"]+"/v1/users/u1/balances"); status != http.StatusOK || !strings.Contains(body, `"60.00"`) {
		t.Errorf("balances: %d %s", status, body)
	}
	c.run(t, "audit").expect(t, exitOK, "the books balance")

	until(t, "the last night's sweep is asked for", func() bool {
		var slots int
		if err := db.Pool.QueryRow(t.Context(), "SELECT count(*) FROM slots").Scan(&slots); err != nil {
			t.Fatal(err)
		}
		return slots > 0
	})
	ready := strings.Replace(addresses["metrics"], "/metrics", "/readyz", 1)
	if status, body := fetch(t, ready); status != http.StatusOK || !strings.Contains(body, "worker: ok") {
		t.Errorf("readiness: %d %s", status, body)
	}
	lint(t, addresses["metrics"])
	if _, body := fetch(t, addresses["metrics"]); strings.Contains(body, "settled_intake_commit_requests_sum 0\n") {
		t.Error("no commit of what was asked over HTTP is measured")
	}
	if code := system.stop(); code != exitOK {
		t.Errorf("ended with %d", code)
	}
	var keys []access.Key
	parse(t, c.run(t, "key", "list", "--json"), &keys)
	if len(keys) != 1 || keys[0].Producer != "dev" || keys[0].RevokedAt == nil || strings.Contains(system.stderr.String(), key[1]) {
		t.Errorf("after its end: %+v\n%s", keys, system.stderr)
	}
}

// rechargeAndRefund does what a newcomer does: recharges through a simulated channel, pays by balance and channel, and has both refunded.
func rechargeAndRefund(t *testing.T, c call, api *http.Client, address, channels string) {
	t.Helper()
	post := func(path, body string, want int) (answered struct {
		OutTradeNo string `json:"out_trade_no"`
	}) {
		t.Helper()
		response, err := api.Post(address+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if err := json.NewDecoder(response.Body).Decode(&answered); err != nil || response.StatusCode != want {
			t.Fatalf("%s: %s, %v", path, response.Status, err)
		}
		return answered
	}
	opened := post("/v1/recharge-orders", `{"recharge_id":"rc1","user_id":"u1","channel":"wechat","amount":"100.00"}`, http.StatusCreated)
	payAt(t, channels, `{"channel":"wechat","out_trade_no":"`+opened.OutTradeNo+`","amount":"100.00"}`)
	until(t, "the recharge is applied", c.applied(t, "recharge:confirm", "rc1"))
	paid := payAt(t, channels, `{"channel":"wechat","out_trade_no":"o1","amount":"20.00","notify_url":"none"}`)
	now := clock.System.Now().Format(time.RFC3339)
	post("/v1/requests/payment:capture", `{"order_id":"o1","user_id":"u1","merchant_id":"m1","legs":[{"source":"cash","amount":"80.00"},`+
		`{"source":"wechat","amount":"20.00","channel_txn_id":"`+paid.ChannelTxnID+`"}],"occurred_at":"`+now+`"}`, http.StatusAccepted)
	c.stdin = strings.NewReader(`{"refund_id":"r1","order_id":"o1","user_id":"u1","amount":"50.00","occurred_at":"` + now + `"}`)
	c.run(t, "request", "refund:apply", "--file", "-").expect(t, exitOK, `"status":"accepted"`)
	until(t, "the refund is applied", c.applied(t, "refund:apply", "r1"))
	until(t, "the channel's leg is paid", func() bool {
		_, record := fetch(t, channels+"/record")
		return c.audit(t).Totals.Pending == 0 && strings.Contains(record, `"state":"succeeded"`)
	})
}

func (c call) audit(t *testing.T) ledger.AuditReport {
	t.Helper()
	got := c.run(t, "audit", "--json")
	var report struct {
		OK bool `json:"ok"`
		ledger.AuditReport
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v in:\n%s%s", err, got.stdout, got.stderr)
	}
	return report.AuditReport
}

// lint checks the names and helps of the metrics that a process of ours exports, once it has done some work.
func lint(t *testing.T, url string) {
	t.Helper()
	_, body := fetch(t, url)
	var ours strings.Builder
	mine := 0
	for line := range strings.Lines(body) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(name, "settled_") {
			ours.WriteString(line)
			mine++
		}
	}
	problems, err := promlint.New(strings.NewReader(ours.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("metric %s: %s", problem.Metric, problem.Text)
	}
	if mine < 100 {
		t.Errorf("only %d lines of our metrics:\n%s", mine, ours.String())
	}
}

func TestDevRunsACommandWithTheStackAndEndsAsItDoes(t *testing.T) {
	t.Parallel()
	c := call{env: map[string]string{"DATABASE_URL": pgtest.New(t).URL, "REDIS_URL": redistest.New(t).URL}}
	got := c.run(t, "dev", "--", "sh", "-c", `echo "$DATABASE_URL $REDIS_URL $1"; exit 7`, "sh", "--help")
	got.expect(t, 7)
	if want := fmt.Sprintf("%s %s --help\n", c.env["DATABASE_URL"], c.env["REDIS_URL"]); got.stdout != want {
		t.Errorf("said %q, want %q", got.stdout, want)
	}
	if !strings.Contains(got.stderr, "named by DATABASE_URL") || !strings.Contains(got.stderr, "named by REDIS_URL") {
		t.Errorf("does not say which servers were taken:\n%s", got.stderr)
	}
	c.run(t, "dev", "--", "true").expect(t, exitOK)
	c.run(t, "dev", "true").expect(t, exitOK)
	c.run(t, "dev", "--", "no-such-command").expect(t, 127, "no-such-command")
	c.run(t, "dev", "--", "sh", "-c", "kill -TERM $$").expect(t, 128+int(syscall.SIGTERM))
	c.run(t, "dev", "--").expect(t, exitUsage, "no command after --")
}

func TestDevStartsPrivateServersAndRemovesThem(t *testing.T) {
	t.Parallel()
	system := call{}.start(t, "dev", "--fast")
	greeting := system.says(system.stdout, "ready; Ctrl-C ends it")
	url := regexp.MustCompile(`export DATABASE_URL='(\S+)'`).FindStringSubmatch(greeting)
	if url == nil || !strings.Contains(greeting, "export REDIS_URL='redis://") {
		t.Fatalf("no addresses in:\n%s", greeting)
	}
	c := call{env: map[string]string{"DATABASE_URL": url[1]}}
	c.run(t, "audit").expect(t, exitOK, "the books balance")
	if !keyLine.MatchString(greeting) {
		t.Errorf("no key in:\n%s", greeting)
	}
	system.stop()
	c.run(t, "audit").expect(t, exitTrouble)
}

func TestDevHandsSignalsOn(t *testing.T) {
	t.Parallel()
	c := call{signals: make(chan os.Signal, 1),
		env: map[string]string{"DATABASE_URL": pgtest.New(t).URL, "REDIS_URL": redistest.New(t).URL}}
	running := c.start(t, "dev", "--", "sh", "-c", `trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done`)
	running.says(running.stdout, "up")
	c.signals <- syscall.SIGTERM
	if <-running.done; running.code != 9 {
		t.Errorf("ended with %d, want 9", running.code)
	}
}

func TestSignalEndsAProcessInOrder(t *testing.T) {
	t.Parallel()
	c := call{signals: make(chan os.Signal, 1), env: map[string]string{"DATABASE_URL": pgtest.New(t).URL, "REDIS_URL": redistest.New(t).URL}}
	running := c.start(t, "api", "--listen", "127.0.0.1:0", "--metrics-listen", "off")
	running.says(running.stderr, "msg=started")
	c.signals <- syscall.SIGTERM
	if <-running.done; running.code != exitOK {
		t.Errorf("ended with %d", running.code)
	}
	running.says(running.stderr, "msg=ended")
}

func TestSecondSignalAborts(t *testing.T) {
	t.Parallel()
	aborted := make(chan struct{}, 1)
	c := call{signals: make(chan os.Signal)}
	program := c.program(io.Discard, io.Discard)
	program.Abort = func() { aborted <- struct{}{} }
	if err := program.ParseArgs([]string{"audit"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := program.untilSignal(t.Context())
	defer stop()
	c.signals <- os.Interrupt
	<-ctx.Done()
	if len(aborted) > 0 {
		t.Error("the first signal aborted")
	}
	c.signals <- os.Interrupt
	<-aborted
}

func TestTakenAddressNamesItsSetting(t *testing.T) {
	t.Parallel()
	c := call{env: map[string]string{"DATABASE_URL": pgtest.New(t).URL, "REDIS_URL": redistest.New(t).URL}}
	first := c.start(t, "scheduler", "--metrics-listen", "127.0.0.1:0")
	said := first.says(first.stderr, "msg=started")
	address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(said)[1]
	c.run(t, "scheduler", "--metrics-listen", address).expect(t, exitUsage, "SETTLED_METRICS_LISTEN", "address already in use")
	c.run(t, "api", "--metrics-listen", "off", "--listen", address).expect(t, exitUsage, "SETTLED_LISTEN", "address already in use")
	c.run(t, "api", "--metrics-listen", "off", "--listen", "nowhere").expect(t, exitUsage, "SETTLED_LISTEN")
	c.run(t, "worker", "--metrics-listen", "off", "--servers", "express=1").expect(t, exitUsage, "express")
	c.run(t, "worker", "--metrics-listen", "off", "--concurrency", "2000").expect(t, exitUsage, "concurrency")
	c.run(t, "scheduler", "--metrics-listen", "off", "--sweep-at", "24:30").expect(t, exitUsage, "sweep-at", "00:00 to 23:59")
	c.run(t, "scheduler", "--metrics-listen", "off", "--sweep-from", "May").expect(t, exitUsage, "start date", "May")
}

func TestDevGivesACommandAKeyToItsOwnDatabase(t *testing.T) {
	t.Parallel()
	got := call{}.run(t, "dev", "--fast", "--", "sh", "-c", `echo "$SETTLED_API_KEY $DATABASE_URL"`)
	got.expect(t, exitOK)
	if !regexp.MustCompile(`^sk_\w{16}_[\w-]{43} postgres://`).MatchString(got.stdout) {
		t.Errorf("the command has %q", got.stdout)
	}
}
