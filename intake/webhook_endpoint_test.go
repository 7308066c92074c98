package intake_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/webhook"
)

const endpoints = "/v1/webhook-endpoints"

// makeEndpoint makes an endpoint of this key's producer, at a public address where nobody is called.
func (d door) makeEndpoint(t *testing.T, path string, events ...string) intake.WebhookEndpoint {
	t.Helper()
	var made intake.WebhookEndpoint
	got := d.do(t, http.MethodPost, endpoints, strings.NewReader(endpointBody("https://192.0.32.7"+path, events...)))
	if got.decode(t, &made); got.status != http.StatusCreated || got.header.Get("Location") != endpoints+"/"+made.ID {
		t.Fatalf("%d %s, at %q", got.status, got.body, got.header.Get("Location"))
	}
	return made
}

func endpointBody(url string, events ...string) string {
	return fmt.Sprintf(`{"url":%q,"events":["%s"]}`, url, strings.Join(events, `","`))
}

func (d door) endpoint(t *testing.T, id string) intake.WebhookEndpoint {
	t.Helper()
	var e intake.WebhookEndpoint
	d.do(t, http.MethodGet, endpoints+"/"+id, nil).decode(t, &e)
	return e
}

func TestEndpointIsMadeOnceAndItsSecretShownOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.WebhooksWrite, access.Read))
	made := shop.makeEndpoint(t, "/hook", "refund.applied", "refund.rejected")
	if !strings.HasPrefix(made.Secret, "whsec_") || made.Producer != "shop" || made.State != webhook.EndpointEnabled || made.Next != 1 {
		t.Errorf("made %+v", made)
	}
	var again intake.WebhookEndpoint
	got := shop.do(t, http.MethodPost, endpoints, strings.NewReader(endpointBody("https://192.0.32.7/hook", "refund.rejected", "refund.applied")))
	if got.decode(t, &again); got.status != http.StatusOK || again.ID != made.ID || again.Secret != "" {
		t.Errorf("asked again: %d %s", got.status, got.body)
	}
	want := made
	want.Secret = ""
	if diff := cmp.Diff(want, shop.endpoint(t, made.ID)); diff != "" {
		t.Errorf("looked up (-want +got):\n%s", diff)
	}
	if other := shop.makeEndpoint(t, "/hook", "refund.applied"); other.ID == made.ID {
		t.Error("other events are told at the same endpoint")
	}
}

func TestEndpointsOfAnotherProducerAreNotThereAndAdminKeepsAll(t *testing.T) {
	t.Parallel()
	d := open(t)
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.WebhooksWrite, access.Read))
	mall := d.as(accesstest.Key(t, d.DB, "mall", access.WebhooksWrite, access.Read))
	made := shop.makeEndpoint(t, "/hook", "refund.applied")
	for path, body := range map[string]string{"/enable": "", "/disable": `{"because":"x"}`, "/rotate": "{}", "/redeliver": `{"from":1}`} {
		mall.do(t, http.MethodPost, endpoints+"/"+made.ID+path, strings.NewReader(body)).problem(t, http.StatusNotFound)
	}
	for _, path := range []string{"/" + made.ID, "/" + made.ID + "/messages", "/we_0", "/%FF", "/%00"} {
		mall.do(t, http.MethodGet, endpoints+path, nil).problem(t, http.StatusNotFound)
	}
	if got := mall.endpointIDs(t, ""); got != "" {
		t.Errorf("another producer lists %s", got)
	}
	for _, problem := range []intake.Problem{
		mall.do(t, http.MethodGet, endpoints+"?producer=shop", nil).problem(t, http.StatusUnprocessableEntity),
		mall.do(t, http.MethodPost, endpoints, strings.NewReader(`{"url":"https://192.0.32.7","events":["refund.applied"],"producer":"shop"}`)).
			problem(t, http.StatusUnprocessableEntity),
	} {
		if problem.Errors[0].Field != "producer" {
			t.Errorf("%+v", problem)
		}
	}
	got := d.do(t, http.MethodPost, endpoints, strings.NewReader(`{"url":"https://192.0.32.7","events":["refund.applied"],"producer":"shop"}`))
	var byAdmin intake.WebhookEndpoint
	if got.decode(t, &byAdmin); got.status != http.StatusCreated || byAdmin.Producer != "shop" {
		t.Errorf("by admin: %d %s", got.status, got.body)
	}
	if list, want := shop.endpointIDs(t, ""), made.ID+" "+byAdmin.ID; list != want || d.endpointIDs(t, "") != want || d.endpointIDs(t, "&producer=mall") != "" {
		t.Errorf("listed %s, want %s", list, want)
	}
}

// endpointIDs pages through the endpoints one by one.
func (d door) endpointIDs(t *testing.T, query string) string {
	t.Helper()
	var ids []string
	for path := endpoints + "?limit=1" + query; path != ""; {
		var page intake.WebhookEndpointsPage
		got := d.do(t, http.MethodGet, path, nil)
		if got.decode(t, &page); got.status != http.StatusOK || strings.Contains(string(got.body), "whsec_") {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		for _, e := range page.Items {
			ids = append(ids, e.ID)
		}
		if path = ""; page.Next != "" {
			path = endpoints + linked(t, got)
		}
	}
	return strings.Join(ids, " ")
}

func TestEndpointNamesWhatIsWrongByField(t *testing.T) {
	t.Parallel()
	d := open(t)
	made := d.makeEndpoint(t, "/hook", "refund.applied")
	for _, c := range []struct{ path, body, field string }{
		{"", `{"events":["refund.applied"]}`, "url"},
		{"", `{"url":"https://192.0.32.7"}`, "events"},
		{"", `{"url":"https://192.0.32.7","events":[]}`, "events"},
		{"", `{"url":"https://192.0.32.7","events":["refund.done"]}`, "events"},
		{"", `{"url":"https://192.0.32.7","events":["refund.applied","refund.applied"]}`, "events"},
		{"", `{"url":"https://192.0.32.7","events":"refund.applied"}`, "events"},
		{"", `{"url":"https://192.0.32.7","events":[1]}`, "events[0]"},
		{"", `{"url":"https://192.0.32.7","events":["refund.applied"],"secret":"mine"}`, "secret"},
		{"", `{"url":"https://192.0.32.7","events":["refund.applied"],"producer":"two words"}`, "producer"},
		{"", endpointBody("http://192.0.32.7", "refund.applied"), "url"},
		{"", endpointBody("https://127.0.0.1/", "refund.applied"), "url"},
		{"", endpointBody("https://169.254.169.254/latest/meta-data", "refund.applied"), "url"},
		{"", endpointBody("https://[::ffff:10.0.0.1]/", "refund.applied"), "url"},
		{"", endpointBody("https://localhost/", "refund.applied"), "url"},
		{"", "[]", "payload"},
		{"/" + made.ID + "/disable", `{}`, "because"},
		{"/" + made.ID + "/rotate", `{"overlap":"1 day"}`, "overlap"},
		{"/" + made.ID + "/rotate", `{"overlap":"721h"}`, "overlap"},
		{"/" + made.ID + "/redeliver", `{}`, "from"},
		{"/" + made.ID + "/redeliver", `{"from":0}`, "from"},
		{"/" + made.ID + "/redeliver", `{"from":-9223372036854775808}`, "from"},
		{"/" + made.ID + "/redeliver", `{"from":3,"to":2}`, "from"},
		{"/" + made.ID + "/redeliver", `{"from":1.5}`, "from"},
		{"/" + made.ID + "/redeliver", `{"from":1,"state":"lost"}`, "state"},
	} {
		problem := d.do(t, http.MethodPost, endpoints+c.path, strings.NewReader(c.body)).problem(t, http.StatusUnprocessableEntity)
		if len(problem.Errors) != 1 || problem.Errors[0].Field != c.field || problem.Errors[0].Allowed == "" {
			t.Errorf("%s: %+v, want %s named", c.body, problem, c.field)
		}
	}
	for query, field := range map[string]string{"state=lost": "state", "from=0": "from", "from=x": "from", "limit=0": "limit", "cursor=x": "cursor"} {
		problem := d.do(t, http.MethodGet, endpoints+"/"+made.ID+"/messages?"+query, nil).problem(t, http.StatusUnprocessableEntity)
		if problem.Errors[0].Field != field {
			t.Errorf("%s: %+v", query, problem)
		}
	}
	if got := d.endpointIDs(t, ""); got != made.ID {
		t.Errorf("endpoints %s", got)
	}
}

func TestProducerHasSoManyEndpointsAndNoMore(t *testing.T) {
	t.Parallel()
	d := open(t)
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.WebhooksWrite, access.Read))
	for i := range webhook.EndpointsMax {
		shop.makeEndpoint(t, fmt.Sprintf("/%d", i), "refund.applied")
	}
	body := endpointBody("https://192.0.32.7/more", "refund.applied")
	problem := shop.do(t, http.MethodPost, endpoints, strings.NewReader(body)).problem(t, http.StatusConflict)
	if problem.Type != "urn:settled:problem:state" || !strings.Contains(problem.Detail, "50") {
		t.Errorf("%+v", problem)
	}
	known := endpointBody("https://192.0.32.7/0", "refund.applied")
	if got := shop.do(t, http.MethodPost, endpoints, strings.NewReader(known)); got.status != http.StatusOK {
		t.Errorf("one that it has: %d %s", got.status, got.body)
	}
	d.makeEndpoint(t, "/of-another", "refund.applied")
}

func TestEndpointIsDisabledEnabledAndGetsAnotherSecret(t *testing.T) {
	t.Parallel()
	d := open(t)
	shop := d.as(accesstest.Key(t, d.DB, "shop", access.WebhooksWrite))
	reader := d.as(accesstest.Key(t, d.DB, "shop", access.Read))
	made := shop.makeEndpoint(t, "/hook", "refund.applied")
	change := func(path, body string) intake.WebhookEndpoint {
		t.Helper()
		var e intake.WebhookEndpoint
		got := shop.do(t, http.MethodPost, endpoints+"/"+made.ID+path, strings.NewReader(body))
		if got.decode(t, &e); got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		return e
	}
	for _, because := range []string{"it has moved", "once more"} {
		if e := change("/disable", `{"because":"`+because+`"}`); e.State != webhook.EndpointDisabled || !strings.HasPrefix(e.Because, "it has moved (key ") {
			t.Errorf("disabled: %+v", e)
		}
	}
	if e := reader.endpoint(t, made.ID); e.State != webhook.EndpointDisabled {
		t.Errorf("looked up: %+v", e)
	}
	for range 2 {
		if e := change("/enable", ""); e.State != webhook.EndpointEnabled || e.Because != "" {
			t.Errorf("enabled: %+v", e)
		}
	}
	seen := map[string]bool{made.Secret: true}
	for _, body := range []string{"{}", `{"overlap":"0s"}`, `{"overlap":"720h"}`} {
		e := change("/rotate", body)
		if !strings.HasPrefix(e.Secret, "whsec_") || seen[e.Secret] {
			t.Errorf("rotated: %+v", e)
		}
		seen[e.Secret] = true
	}
	if e := reader.endpoint(t, made.ID); e.Secret != "" {
		t.Errorf("the secret is shown again: %+v", e)
	}
}

func TestDeadMessagesAreListedAndDeliveredAgainFromWhereTheProducerSays(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	d := openOn(t, db)
	calls := make(chan string, 100)
	producer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { calls <- r.Header.Get("Webhook-Id") }))
	t.Cleanup(producer.Close)
	trusting := d
	trusting.url = serve(t, intake.NewAPI(intake.Config{Client: d.Client, Reader: d.Reader, Access: accesstest.Guard(t, db),
		Recharges: rechargeOrders(d.Books), Webhooks: &webhook.Registry{Pool: db.Pool, Guard: webhook.Guard{AllowPrivate: true}}}))
	var made intake.WebhookEndpoint
	trusting.do(t, http.MethodPost, endpoints, strings.NewReader(endpointBody(producer.URL, "reward.applied"))).decode(t, &made)
	d.deliver(t)
	for i := range 5 {
		ledgertest.Applied(t, d.Do(t, ledgertest.Reward(fmt.Sprintf("w%d", i), "u1", "1.00"))...)
		if id, want := <-calls, fmt.Sprintf("msg_%s_%d", made.ID, i+1); id != want {
			t.Fatalf("told %s, want %s", id, want)
		}
	}
	d.until(t, made.ID, func(e intake.WebhookEndpoint) bool { return e.DeliveredTo == 5 })
	if _, err := db.Owner.Exec(t.Context(), `UPDATE webhook_messages SET state = 'dead', last_problem = 'it answered 500', last_status = 500
		WHERE sequence IN (2, 3, 5)`); err != nil {
		t.Fatal(err)
	}
	if e := d.endpoint(t, made.ID); e.DeliveredTo != 1 || e.Dead != 3 || e.Waiting != 0 || e.Next != 6 || e.Problem != "it answered 500" {
		t.Errorf("endpoint %+v", e)
	}
	for query, want := range map[string]string{"&state=dead": "2 3 5", "&state=delivered": "1 4", "&state=waiting": "", "": "1 2 3 4 5", "&from=3": "3 4 5",
		"&from=3&state=dead": "3 5"} {
		if got := d.sequences(t, made.ID, query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	for body, want := range map[string]int64{`{"from":3,"state":"dead"}`: 2, `{"from":6}`: 0, `{"from":2,"to":2}`: 1} {
		var answered intake.WebhookRedelivered
		got := d.do(t, http.MethodPost, endpoints+"/"+made.ID+"/redeliver", strings.NewReader(body))
		if got.decode(t, &answered); got.status != http.StatusOK || answered.Messages != want || answered.Next != 0 {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	d.until(t, made.ID, func(e intake.WebhookEndpoint) bool { return e.DeliveredTo == 5 && e.Dead == 0 })
	if len(calls) != 3 {
		t.Errorf("%d messages were delivered again, want 3", len(calls))
	}
}

// deliver runs a courier until the test ends.
func (d door) deliver(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	courier := webhook.NewCourier(webhook.Config{Pool: d.DB.Pool, Guard: webhook.Guard{AllowPrivate: true}})
	done := make(chan error, 1)
	go func() { done <- courier.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// until waits for an endpoint to be as it should.
func (d door) until(t *testing.T, id string, is func(intake.WebhookEndpoint) bool) {
	t.Helper()
	end := clock.System.After(time.Minute)
	for {
		e := d.endpoint(t, id)
		if is(e) {
			return
		}
		select {
		case <-clock.System.After(10 * time.Millisecond):
		case <-end:
			t.Fatalf("endpoint %+v", e)
		}
	}
}

// sequences pages through an endpoint's messages two by two.
func (d door) sequences(t *testing.T, id, query string) string {
	t.Helper()
	var list []string
	for path := endpoints + "/" + id + "/messages?limit=2" + query; path != ""; {
		var page intake.WebhookMessagesPage
		got := d.do(t, http.MethodGet, path, nil)
		if got.decode(t, &page); got.status != http.StatusOK || page.Items == nil {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		for _, m := range page.Items {
			list = append(list, fmt.Sprint(m.Sequence))
		}
		if path = ""; page.Next != "" {
			path = endpoints + "/" + id + "/messages" + linked(t, got)
		}
	}
	return strings.Join(list, " ")
}
