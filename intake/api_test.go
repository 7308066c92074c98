package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	recharges "github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/express"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
)

// door is an API over books of the test's own, served as in production.
type door struct {
	*ledgertest.Books
	api      *intake.API
	url      string
	token    string // of an admin key
	registry *prometheus.Registry
}

func rechargeOrders(b *ledgertest.Books) *recharges.Orders {
	return recharges.NewOrders(b.DB.Pool, b.Client.Books(), clock.System)
}

func open(t *testing.T) door {
	t.Helper()
	return openOn(t, pgtest.New(t))
}

func openOn(t *testing.T, db *pgtest.Database) door {
	t.Helper()
	d := door{Books: ledgertest.OpenOn(t, db), registry: prometheus.NewPedanticRegistry()}
	d.api = intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader,
		Access:    access.NewGuard(access.Config{Pool: db.Pool, Registerer: d.registry}),
		Recharges: rechargeOrders(d.Books), Webhooks: &webhook.Registry{Pool: db.Pool}, Registerer: d.registry})
	d.url, d.token = serve(t, d.api), accesstest.Key(t, db, "test", access.Admin)
	return d
}

// serve serves an API as the command does, and returns where.
func serve(t *testing.T, api *intake.API) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := express.New(&http.Server{Handler: api, ReadHeaderTimeout: time.Minute}, intake.BusiestPaths())
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(t.Context()), listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v", err)
		}
	})
	return "http://" + listener.Addr().String()
}

// as is the door for another key.
func (d door) as(token string) door {
	d.token = token
	return d
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("body %s: %v", a.body, err)
	}
}

func (d door) do(t *testing.T, method, path string, body io.Reader) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, d.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	return d.send(t, request)
}

// send sends a request by the door's own key, unless it has another.
func (d door) send(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := accesstest.Client(d.token).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, read}
}

func (d door) post(t *testing.T, kind tasks.Kind, body string) answer {
	t.Helper()
	return d.do(t, http.MethodPost, "/v1/requests/"+string(kind), strings.NewReader(body))
}

// problem fails the test unless the answer is a problem of that status.
func (a answer) problem(t *testing.T, status int) intake.Problem {
	t.Helper()
	var problem intake.Problem
	a.decode(t, &problem)
	if a.status != status || problem.Status != status || a.header.Get("Content-Type") != "application/problem+json" ||
		problem.Type == "" || problem.Title == "" || problem.Detail == "" {
		t.Fatalf("answer %d %s %s, want a problem of status %d", a.status, a.header.Get("Content-Type"), a.body, status)
	}
	return problem
}

func recharge(id, user, yuan string) string {
	return fmt.Sprintf(`{"recharge_id":%q,"user_id":%q,"channel":"wechat","channel_txn_id":"wx-%s","amount":%q,`+
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`, id, user, id, yuan)
}

func (d door) stored(t *testing.T) int {
	t.Helper()
	var stored int
	if err := d.DB.Pool.QueryRow(t.Context(), "SELECT count(*) FROM requests").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestAcceptedRequestIsStoredAndSaysWhereToLook(t *testing.T) {
	t.Parallel()
	d := open(t)
	got := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "100.00"))
	var receipt tasks.Receipt
	got.decode(t, &receipt)
	if got.status != http.StatusAccepted || receipt.Status != tasks.Accepted || receipt.Key != "rc1" || d.stored(t) != 1 {
		t.Fatalf("answer %d %s, %d stored", got.status, got.body, d.stored(t))
	}
	var record ledger.Record
	looked := d.do(t, http.MethodGet, got.header.Get("Location"), nil)
	looked.decode(t, &record)
	if looked.status != http.StatusOK || record.ID != receipt.ID || record.State != "accepted" || record.Outcome != nil {
		t.Errorf("look-up at %s: %d %s", got.header.Get("Location"), looked.status, looked.body)
	}
}

func TestReplayAnswersTheStoredOutcome(t *testing.T) {
	t.Parallel()
	d := open(t)
	var first, again tasks.Receipt
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "100")).decode(t, &first)
	ledgertest.Applied(t, d.Apply(t, first)...)
	got := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "100.00"))
	got.decode(t, &again)
	if got.status != http.StatusOK || again.Status != tasks.Replayed || again.ID != first.ID || again.Outcome == nil ||
		again.Outcome.Result != tasks.Applied {
		t.Errorf("answer %d %s", got.status, got.body)
	}
}

func TestConflictNamesEachDifferingField(t *testing.T) {
	t.Parallel()
	d := open(t)
	var first tasks.Receipt
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "100.00")).decode(t, &first)
	problem := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u2", "100.01")).problem(t, http.StatusConflict)
	want := []tasks.Diff{{Field: "amount", Stored: `"100.00"`, Asked: `"100.01"`}, {Field: "user_id", Stored: `"u1"`, Asked: `"u2"`}}
	if problem.ID != first.ID.String() || len(problem.Fields) != 2 || problem.Fields[0] != want[0] || problem.Fields[1] != want[1] {
		t.Errorf("problem %+v, want fields %+v", problem, want)
	}
}

// Whoever asks under another producer's key learns that it is taken: not what is stored, nor whether it is what was asked now.
func TestTakenKeyTellsNothingOfWhatIsStored(t *testing.T) {
	t.Parallel()
	d := open(t)
	receipts := d.Accept(t, ledgertest.Recharge("rc1", "u1", "80.00"))
	other := d.as(accesstest.Key(t, d.DB, "other", access.RechargesWrite, access.Read))
	ask := func() answer { return other.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "80.00")) }
	pending := ask()
	if problem := pending.problem(t, http.StatusConflict); problem.Type != "urn:settled:problem:taken" || problem.ID != "" || problem.Fields != nil {
		t.Errorf("problem %+v", problem)
	}
	ledgertest.Applied(t, d.Apply(t, receipts...)...)
	decided, differs := ask(), other.post(t, tasks.RechargeConfirm, recharge("rc1", "u2", "81.00"))
	for what, got := range map[string]answer{"decided": decided, "other content": differs} {
		if got.status != http.StatusConflict || string(got.body) != string(pending.body) {
			t.Errorf("%s: %d %s\nwant %s", what, got.status, got.body, pending.body)
		}
	}
	other.do(t, http.MethodGet, "/v1/requests/recharge:confirm/rc1", nil).problem(t, http.StatusNotFound)
	if got := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "80.00")); got.status != http.StatusOK {
		t.Errorf("an admin's replay: %d %s", got.status, got.body)
	}
	d.expectCounted(t, 0, func(kind tasks.Kind, status string) int {
		switch {
		case kind == tasks.RechargeConfirm && status == "conflict":
			return 3
		case kind == tasks.RechargeConfirm && status == "replayed":
			return 1
		}
		return 0
	})
}

func TestRefusalNamesTheFieldAndStoresNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	problem := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "1e2")).problem(t, http.StatusUnprocessableEntity)
	if len(problem.Errors) != 1 || problem.Errors[0].Field != "amount" || problem.Errors[0].Allowed == "" {
		t.Errorf("problem %+v, want one for amount", problem)
	}
	for _, kind := range []string{"refund:pay", string(tasks.RefundAnswer)} {
		problem = d.do(t, http.MethodPost, "/v1/requests/"+kind, strings.NewReader("{}")).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != "kind" || !strings.Contains(problem.Errors[0].Allowed, "refund:apply") {
			t.Errorf("%s: problem %+v, want one for kind", kind, problem)
		}
	}
	if stored := d.stored(t); stored != 0 {
		t.Errorf("%d requests stored", stored)
	}
}

// unsized hides a reader's length, so that the client sends it in chunks.
type unsized struct{ io.Reader }

func TestOverlongBodyIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	body := recharge("rc1", "u1", "1.00") + strings.Repeat(" ", 10<<20)
	for name, reader := range map[string]io.Reader{"sized": strings.NewReader(body), "chunked": unsized{strings.NewReader(body)}} {
		problem := d.do(t, http.MethodPost, "/v1/requests/recharge:confirm", reader).problem(t, http.StatusRequestEntityTooLarge)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != "payload" || !strings.Contains(problem.Errors[0].Allowed, "65536") {
			t.Errorf("%s: problem %+v, want one for payload", name, problem)
		}
	}
	if stored := d.stored(t); stored != 0 {
		t.Errorf("%d requests stored", stored)
	}
}

func TestBodyMustBeDeclaredAsJSON(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, declared := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/requests/recharge:confirm",
			strings.NewReader(recharge("rc1", "u1", "1.00")))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", declared)
		problem := d.send(t, request).problem(t, http.StatusUnsupportedMediaType)
		if !strings.Contains(problem.Detail, "Content-Type: application/json") {
			t.Errorf("%q: %+v", declared, problem)
		}
	}
}

func TestKeyWithASlashIsFoundByItsLocation(t *testing.T) {
	t.Parallel()
	d := open(t)
	got := d.post(t, tasks.SweepRun, `{"product_id":"xiaojinku","business_date":"2026-03-02"}`)
	location := got.header.Get("Location")
	if location != "/v1/requests/sweep:run/xiaojinku%2F2026-03-02" {
		t.Errorf("location %s", location)
	}
	if looked := d.do(t, http.MethodGet, location, nil); looked.status != http.StatusOK {
		t.Errorf("look-up: %d %s", looked.status, looked.body)
	}
}

func TestLookUpsOfWhatIsNotThereAreNotFound(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, path := range []string{"/v1/requests/refund:apply/none", "/v1/requests/refund:apply/%00%FF", "/v1/users/nobody/balances",
		"/v1/users/%FF/balances?at=2026-03-02T12:00:00Z"} {
		d.do(t, http.MethodGet, path, nil).problem(t, http.StatusNotFound)
	}
	for path, field := range map[string]string{"/v1/requests/refund:pay/r1": "kind", "/v1/users/u1/balances?at=yesterday": "at"} {
		problem := d.do(t, http.MethodGet, path, nil).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != field {
			t.Errorf("%s: %+v", path, problem)
		}
	}
}

func TestBalancesAreToldNowAndThen(t *testing.T) {
	t.Parallel()
	d := open(t)
	ledgertest.Applied(t, d.Do(t, ledgertest.Recharge("rc1", "u1", "100.00"))...)
	var now, then intake.Balances
	d.do(t, http.MethodGet, "/v1/users/u1/balances", nil).decode(t, &now)
	d.do(t, http.MethodGet, "/v1/users/u1/balances?at=2026-01-01T00:00:00%2B08:00", nil).decode(t, &then)
	if len(now.Accounts) != 1 || now.Accounts[0].Account != "user/u1/cash" || now.Accounts[0].Balance.String() != "100.00" || now.At != nil {
		t.Errorf("now %+v", now)
	}
	if len(then.Accounts) != 1 || !then.Accounts[0].Balance.IsZero() || then.At == nil {
		t.Errorf("then %+v", then)
	}
}

func TestAwayPostgresIsUnavailableAndNotARefusal(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	d := openOn(t, db)
	unseen := accesstest.Key(t, db, "test", access.Admin)
	d.do(t, http.MethodGet, "/v1/requests/recharge:confirm/rc1", nil).problem(t, http.StatusNotFound) // its key is known from now on
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	posted := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "1.00"))
	problem := posted.problem(t, http.StatusServiceUnavailable)
	if posted.header.Get("Retry-After") == "" || !strings.Contains(problem.Detail, "send it again with the same key") ||
		strings.Contains(problem.Detail, "127.0.0.1") {
		t.Errorf("problem %+v, Retry-After %q", problem, posted.header.Get("Retry-After"))
	}
	d.do(t, http.MethodGet, "/v1/requests/recharge:confirm/rc1", nil).problem(t, http.StatusServiceUnavailable)
	d.do(t, http.MethodGet, "/v1/users/u1/balances", nil).problem(t, http.StatusServiceUnavailable)
	d.as(unseen).post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "1.00")).problem(t, http.StatusServiceUnavailable)
	lines, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+bulkRecharges, strings.NewReader(recharge("rc1", "u1", "1.00")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	lines.Header.Set("Content-Type", "application/x-ndjson")
	streamed := d.send(t, lines)
	if streamed.problem(t, http.StatusServiceUnavailable); streamed.header.Get("Retry-After") == "" {
		t.Error("a stream is not told when to come back")
	}
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
	if again := d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "1.00")); again.status != http.StatusAccepted {
		t.Errorf("after the restart: %d %s", again.status, again.body)
	}
}

// expectCounted fails the test unless the requests of each kind and status are counted so, and those of unknown kinds.
func (d door) expectCounted(t *testing.T, unknownKinds int, count func(tasks.Kind, string) int) {
	t.Helper()
	var want strings.Builder
	want.WriteString("# HELP settled_intake_requests_total Requests that were asked over HTTP, by kind and what acceptance made of them.\n" +
		"# TYPE settled_intake_requests_total counter\n")
	for _, kind := range tasks.Kinds() {
		if kind.Internal() {
			continue
		}
		for _, status := range []string{"accepted", "conflict", "refused", "replayed", "unknown"} {
			fmt.Fprintf(&want, "settled_intake_requests_total{kind=%q,status=%q} %d\n", kind, status, count(kind, status))
		}
	}
	fmt.Fprintf(&want, "settled_intake_requests_total{kind=\"unknown\",status=\"refused\"} %d\n", unknownKinds)
	if err := testutil.GatherAndCompare(d.registry, strings.NewReader(want.String()), "settled_intake_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestEveryAnswerIsCounted(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "1.00"))
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "1.00"))
	d.post(t, tasks.RechargeConfirm, recharge("rc1", "u1", "2.00"))
	d.post(t, tasks.RechargeConfirm, recharge("rc2", "u1", "-2.00"))
	d.post(t, "no:such", "{}")
	d.expectCounted(t, 1, func(kind tasks.Kind, status string) int {
		if kind == tasks.RechargeConfirm && status != "unknown" {
			return 1
		}
		return 0
	})
	if count, err := testutil.GatherAndCount(d.registry, "settled_intake_accept_seconds"); err != nil || count != 10 {
		t.Errorf("accept latency: %d series, %v", count, err)
	}
}

func TestDescriptionShowsEveryKindWithItsShape(t *testing.T) {
	t.Parallel()
	d := open(t)
	got := d.do(t, http.MethodGet, "/openapi.json", nil)
	var described struct {
		Paths      map[string]any
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]struct {
					Type    any // a name, or several
					Pattern string
					Enum    []string
				}
			}
		}
	}
	got.decode(t, &described)
	for _, kind := range tasks.Kinds() {
		if _, found := described.Paths["/v1/requests/"+string(kind)]; found == kind.Internal() {
			t.Errorf("%s: described %t", kind, found)
		}
	}
	refund := described.Components.Schemas["Refund"]
	if len(refund.Required) != 5 || refund.Properties["amount"].Type != "string" || refund.Properties["amount"].Pattern == "" ||
		len(refund.Properties["to"].Enum) != 2 {
		t.Errorf("refund is described as %+v", refund)
	}
	if leg := described.Components.Schemas["Leg"]; len(leg.Properties["source"].Enum) != 6 {
		t.Errorf("leg is described as %+v", leg)
	}
}
