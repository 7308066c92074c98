package intake_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// operation is one that the API's description tells of, with a call that it would answer.
type operation struct {
	id, method, path string
	scope            access.Scope
	body             string
}

// bodies are what operations that take one are called with.
var bodies = map[string]string{
	"accept-payment-capture": `{"order_id":"o1","user_id":"u1","merchant_id":"m1","legs":[{"source":"cash","amount":"1.00"}],` +
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`,
	"accept-refund-apply":     refundBody("rf1", "u1", "1.00", ""),
	"accept-recharge-confirm": recharge("rc1", "u1", "1.00"),
	"accept-reward-grant":     `{"reward_id":"rw1","user_id":"u1","campaign_id":"c1","amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`,
	"accept-transfer-send":    `{"transfer_id":"t1","from_user_id":"u1","to_user_id":"u2","amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`,
	"accept-wealth-enrol": `{"enrolment_id":"e1","user_id":"u1","product_id":"xiaojinku","keep_amount":"1.00","consent_version":"1",` +
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`,
	"accept-sweep-run":     `{"product_id":"xiaojinku","business_date":"2026-03-02"}`,
	"preview-refund":       refundBody("rf1", "u1", "1.00", ""),
	"accept-case-credit":   `{"case_id":"2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0","user_id":"u1","by":"ada","note":"x"}`,
	"accept-case-return":   `{"case_id":"2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0","by":"ada","note":"x"}`,
	"accept-case-close":    `{"case_id":"2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0","statement":"paid_at_channel","by":"ada","note":"x"}`,
	"open-recharge-order":  `{"recharge_id":"rc1","user_id":"u1","channel":"wechat","amount":"1.00"}`,
	"close-recharge-order": "",

	"make-webhook-endpoint":      `{"url":"https://192.0.32.7/hook","events":["refund.applied"]}`,
	"enable-webhook-endpoint":    "",
	"disable-webhook-endpoint":   `{"because":"the shop has moved"}`,
	"rotate-webhook-secret":      "{}",
	"redeliver-webhook-messages": `{"from":1}`,
}

// operations reads the API's description: every operation, and what it is called with.
func (d door) operations(t *testing.T) []operation {
	t.Helper()
	var described struct {
		Paths map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
		}
	}
	d.do(t, http.MethodGet, "/openapi.json", nil).decode(t, &described)
	var list []operation
	for path, methods := range described.Paths {
		for method, o := range methods {
			op := operation{id: o.OperationID, method: strings.ToUpper(method),
				path: strings.NewReplacer("{kind}", "refund:apply", "{key}", "x", "{user_id}", "u1", "{order_id}", "o1", "{recharge_id}", "rc1",
					"{case_id}", "2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0", "{endpoint_id}", "we_0").Replace(path)}
			if strings.Contains(op.path, "{") {
				t.Fatalf("%s: no value for a parameter of %s", op.id, path)
			}
			if len(o.Security) != 1 || len(o.Security[0]["key"]) != 1 {
				t.Fatalf("%s declares %v, want one scope", op.id, o.Security)
			}
			op.scope = access.Scope(o.Security[0]["key"][0])
			var known bool
			if one, many := strings.CutPrefix(op.id, "accept-many-"); many {
				op.body, known = "["+bodies["accept-"+one]+"]", bodies["accept-"+one] != ""
			} else {
				op.body, known = bodies[op.id]
			}
			if op.method == http.MethodPost && !known {
				t.Fatalf("%s: the test has no body for it", op.id)
			}
			list = append(list, op)
		}
	}
	if len(list) < 20 {
		t.Fatalf("%d operations are described", len(list))
	}
	return list
}

func (d door) call(t *testing.T, op operation) answer {
	t.Helper()
	return d.do(t, op.method, op.path, strings.NewReader(op.body))
}

func TestEveryOperationNeedsAKeyWithItsScope(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, op := range d.operations(t) {
		request, err := http.NewRequestWithContext(t.Context(), op.method, d.url+op.path, strings.NewReader(op.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request) //nolint:bodyclose // it is closed two lines below
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized || response.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a key: %s", op.id, response.Status)
		}
		others := slices.DeleteFunc(access.Scopes(), func(s access.Scope) bool { return s == op.scope || s == access.Admin })
		denied := d.as(accesstest.Key(t, d.DB, "test", others...)).call(t, op)
		denied.problem(t, http.StatusForbidden)
		if !strings.Contains(denied.header.Get("WWW-Authenticate"), fmt.Sprintf("scope=%q", op.scope)) {
			t.Errorf("%s: %s", op.id, denied.header.Get("WWW-Authenticate"))
		}
		if got := d.as(accesstest.Key(t, d.DB, "test", op.scope)).call(t, op); got.status == http.StatusUnauthorized ||
			got.status == http.StatusForbidden || got.status >= http.StatusInternalServerError {
			t.Errorf("%s with its scope alone: %d %s", op.id, got.status, got.body)
		}
	}
}

func TestEveryOperationIsUnavailableWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t)
	d := openOn(t, db)
	operations := d.operations(t)
	d.do(t, http.MethodGet, "/v1/requests/recharge:confirm/rc1", nil).problem(t, http.StatusNotFound) // its key is known from now on
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, op := range operations {
		got := d.call(t, op)
		problem := got.problem(t, http.StatusServiceUnavailable)
		if got.header.Get("Retry-After") == "" || strings.Contains(problem.Detail, "127.0.0.1") {
			t.Errorf("%s: %+v, Retry-After %q", op.id, problem, got.header.Get("Retry-After"))
		}
	}
	for _, path := range []string{"/docs", "/openapi.json"} {
		if got := d.do(t, http.MethodGet, path, nil); got.status != http.StatusOK {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if err := server.Restart(context.WithoutCancel(t.Context()), true); err != nil {
		t.Fatal(err)
	}
}

// rungBy opens a door whose client rings that Redis.
func rungBy(t *testing.T, address string) door {
	t.Helper()
	db := pgtest.New(t)
	bell := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1})
	t.Cleanup(func() { _ = bell.Close() })
	d := door{Books: ledgertest.OpenOn(t, db), token: accesstest.Key(t, db, "shop", access.RechargesWrite)}
	client, err := tasks.NewClient(t.Context(), db.Pool, tasks.NewDoorbell(bell), tasks.ClientConfig{Producer: "api"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	server := httptest.NewServer(intake.NewAPI(intake.Config{Client: client, Reader: d.Reader, Access: accesstest.Guard(t, db),
		Recharges: rechargeOrders(d.Books)}))
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func (d door) accepts(t *testing.T) {
	t.Helper()
	for i, item := range manyRecharges(3) {
		if got := d.post(t, tasks.RechargeConfirm, item); got.status != http.StatusAccepted {
			t.Errorf("request %d: %d %s", i, got.status, got.body)
		}
	}
	if got := d.do(t, http.MethodPost, bulkRecharges, listOf(manyRecharges(50)[3:]...)); got.status != http.StatusOK {
		t.Errorf("list: %d %s", got.status, got.body)
	}
	if stored := d.stored(t); stored != 50 {
		t.Errorf("%d requests stored, want 50", stored)
	}
}

func TestAcceptingGoesOnWhileRedisIsDead(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	d := rungBy(t, strings.TrimSuffix(strings.TrimPrefix(server.URL, "redis://"), "/0"))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	d.accepts(t)
}

// TestAcceptingNeverWaitsForRedis holds a Redis that takes connections and says nothing: an acceptance that waited for it would be
// waited for here.
func TestAcceptingNeverWaitsForRedis(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	rungBy(t, listener.Addr().String()).accepts(t)
}

func TestPathsAndMethodsThatAreNotServedAreProblemsToo(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, path := range []string{"/", "/v1", "/v1/nothing", "/v1/requests/refund:apply/x/y", "/docs/none"} {
		d.do(t, http.MethodGet, path, nil).problem(t, http.StatusNotFound)
	}
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodPut, "/v1/requests/refund:apply", "POST"}, {http.MethodDelete, "/v1/orders/o1", "GET"},
		{http.MethodGet, "/v1/refunds/preview", "POST"}, {http.MethodPatch, "/v1/requests/refund:apply/bulk", "GET, POST"},
		{http.MethodPost, "/docs", "GET"},
	} {
		got := d.do(t, c.method, c.path, nil)
		got.problem(t, http.StatusMethodNotAllowed)
		if got.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: Allow %q, want %s", c.method, c.path, got.header.Get("Allow"), c.allow)
		}
	}
}

func TestPageShowsEveryOperation(t *testing.T) {
	t.Parallel()
	d := open(t)
	page := string(d.do(t, http.MethodGet, "/docs", nil).body)
	if strings.Contains(page, "ErrorModel") {
		t.Error("an operation is described with refusals that are not ours")
	}
	for _, op := range d.operations(t) {
		if !strings.Contains(page, `<section id="`+op.id+`">`) {
			t.Errorf("the page lacks %s", op.id)
		}
	}
}

// described is what the API's description says of a field of a schema.
func (d door) described(t *testing.T, schema, field string) string {
	t.Helper()
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Description string }
			}
		}
	}
	d.do(t, http.MethodGet, "/openapi.json", nil).decode(t, &document)
	return document.Components.Schemas[schema].Properties[field].Description
}

func TestDescriptionSaysWhatIsCutAndHowMuchThereIs(t *testing.T) {
	t.Parallel()
	d := open(t)
	for field, says := range map[string]string{"timeline": "newest 200", "events": "in all", "transfers": "first 1,000"} {
		if got := d.described(t, "RequestRecord", field); !strings.Contains(got, says) {
			t.Errorf("%s is described as %q, want %q in it", field, got, says)
		}
	}
}

func TestDescriptionSaysWhatAttemptsCount(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, schema := range []string{"Outcome", "Outstanding"} {
		if got := d.described(t, schema, "attempts"); !strings.HasPrefix(got, "Starts that were counted before they began") {
			t.Errorf("%s: attempts are described as %q", schema, got)
		}
	}
}
