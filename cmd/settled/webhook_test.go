package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/webhook"
)

var endpointLine = regexp.MustCompile(`^endpoint (we_[0-9a-f]{32}) of `)

// createEndpoint makes an endpoint for what is asked at the command line.
func (c call) createEndpoint(t *testing.T, url string, more ...string) (id, secret string) {
	t.Helper()
	made := c.run(t, append([]string{"webhook", "create", "--producer", "cli", "--url", url, "--event", "reward.applied,reward.rejected",
		"--by", "ada"}, more...)...)
	made.expect(t, exitOK, " of cli: reward.applied, reward.rejected; "+url, "whsec_")
	return endpointLine.FindStringSubmatch(made.stderr)[1], strings.TrimSuffix(made.stdout, "\n")
}

func (c call) reward(t *testing.T, id string) {
	t.Helper()
	c.stdin = strings.NewReader(`{"reward_id":"` + id + `","user_id":"u1","campaign_id":"c1","amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`)
	c.run(t, "request", "reward:grant", "--file", "-").expect(t, exitOK, `"status":"accepted"`)
}

func TestWorkerTellsAProducerAndAPersonDeliversAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL, "REDIS_URL": redistest.New(t).URL}}
	var verifier atomic.Pointer[standardwebhooks.Webhook]
	told := make(chan webhook.Message, 10)
	producer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var message webhook.Message
		if err == nil {
			err = json.Unmarshal(body, &message)
		}
		if err != nil {
			t.Error(err)
		}
		if err := verifier.Load().Verify(body, r.Header); err != nil {
			t.Errorf("message %d does not verify: %v", message.Sequence, err)
		}
		told <- message
	}))
	t.Cleanup(producer.Close)
	id, secret := c.createEndpoint(t, producer.URL, "--allow-private")
	trust := func(secret string) {
		library, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		verifier.Store(library)
	}
	trust(secret)
	c.start(t, "worker", "--webhooks-allow-private", "--metrics-listen", "off")
	c.reward(t, "w1")
	first := <-told
	if first.Type != "reward.applied" || first.Sequence != 1 || first.Data.Key != "w1" {
		t.Errorf("told %+v", first)
	}
	until(t, "it is noted", func() bool {
		return strings.Contains(c.run(t, "webhook", "messages", id).stdout, "delivered")
	})

	rotated := c.run(t, "webhook", "rotate", id, "--overlap", "0s")
	rotated.expect(t, exitOK, "whsec_")
	trust(strings.TrimSuffix(rotated.stdout, "\n"))
	for _, again := range [][]string{{"redeliver", id, "1"}, {"redeliver", id, "--from", "1"}, {"replay", id, "--from", "1", "--to", "1"}} {
		c.run(t, append([]string{"webhook"}, again...)...).expect(t, exitOK, "1 message is delivered again")
		if message := <-told; message.Sequence != 1 || message.Data.ID != first.Data.ID {
			t.Errorf("after %v: %+v", again, message)
		}
		until(t, "it is noted", func() bool {
			return strings.Contains(c.run(t, "webhook", "messages", id).stdout, "delivered")
		})
	}
	c.run(t, "webhook", "redeliver", id, "--dead").expect(t, exitNo, "there are no such messages")
	c.run(t, "webhook", "redeliver", id, "2").expect(t, exitNo, "there are no such messages")
}

func TestEndpointIsListedDisabledAndEnabled(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL}}
	c.run(t, "webhook", "list").expect(t, exitOK, "there are no endpoints")
	id, secret := c.createEndpoint(t, "http://127.0.0.1:9/hook", "--allow-private")
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"list", "--producer", "cli"}, {"messages", id}, {"messages", id, "--json"}} {
		got := c.run(t, append([]string{"webhook"}, args...)...)
		got.expect(t, exitOK)
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("%v shows the secret", args)
		}
	}
	c.run(t, "webhook", "list", "--producer", "other").expect(t, exitOK, "there are no endpoints")
	c.run(t, "webhook", "messages", id).expect(t, exitOK, "there are no such messages")
	for range 2 {
		c.run(t, "webhook", "disable", id, "--because", "it has moved", "--by", "ada").expect(t, exitOK, id+" is disabled")
	}
	c.run(t, "webhook", "list").expect(t, exitOK, id, "it has moved (ada)")
	var list []webhook.Endpoint
	parse(t, c.run(t, "webhook", "list", "--json"), &list)
	if len(list) != 1 || list[0].ID != id || list[0].CreatedBy != "ada" || list[0].DisabledAt == nil || list[0].Next != 1 {
		t.Errorf("by JSON: %+v", list)
	}
	c.run(t, "webhook", "enable", id).expect(t, exitOK, id+" is enabled")
	if got := c.run(t, "webhook", "list"); strings.Contains(got.stdout, "moved") {
		t.Errorf("still disabled:\n%s", got.stdout)
	}
}

func TestWebhookCommandsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL}}
	good := map[string]string{"--producer": "shop", "--url": "https://192.0.32.7/hook", "--event": "refund.applied", "--by": "ada"}
	for _, bad := range []struct{ flag, value, says string }{
		{"--producer", "two words", "--producer is"},
		{"--url", "https://127.0.0.1/hook", "--url names a host whose address is not public"},
		{"--url", "https://[::ffff:10.0.0.1]/hook", "--url names a host whose address is not public"},
		{"--url", "http://192.0.32.7/hook", `--url has the scheme "http"`},
		{"--url", "https://user:s3cr3t@192.0.32.7/", "--url has a user or a fragment"},
		{"--url", "shop", "--url is not a URL"},
		{"--event", "refund.done", "--event has a name that is no event; allowed: each at most once of case_close.applied"},
		{"--event", "refund.applied,refund.applied", "--event names refund.applied twice"},
		{"--by", "", "--by is missing"},
	} {
		args := []string{"webhook", "create"}
		for flag, value := range good {
			if flag == bad.flag {
				value = bad.value
			}
			args = append(args, flag, value)
		}
		got := c.run(t, args...)
		got.expect(t, exitUsage, bad.says)
		if strings.Contains(got.stderr, "s3cr3t") {
			t.Errorf("the URL is repeated: %s", got.stderr)
		}
	}
	c.run(t, "webhook", "list").expect(t, exitOK, "there are no endpoints")

	id, _ := c.createEndpoint(t, "http://127.0.0.1:9/hook", "--allow-private")
	for _, bad := range []struct {
		args string
		says string
	}{
		{"redeliver " + id, "which messages?"},
		{"redeliver " + id + " --to 4", "which messages?"},
		{"redeliver " + id + " 1 --dead", "which messages?"},
		{"redeliver " + id + " 1 --to 4", "which messages?"},
		{"redeliver " + id + " --from 0", "--from is 0"},
		{"redeliver " + id + " --from 5 --to 4", "--from is 5, to 4"},
		{"redeliver " + id + " x", "<sequence>"},
		{"rotate " + id + " --overlap=-1s", "--overlap is -1s"},
		{"rotate " + id + " --overlap 721h", "--overlap is 721h0m0s"},
		{"messages " + id + " --limit 0", "--limit: is 0"},
		{"messages " + id + " --state lost", "--state"},
		{"disable " + id, "--because"},
	} {
		c.run(t, append([]string{"webhook"}, strings.Fields(bad.args)...)...).expect(t, exitUsage, bad.says)
	}
	for _, unknown := range []string{"disable we_0 --because x", "enable we_0", "rotate we_0", "messages we_0", "redeliver we_0 1", "redeliver \xff --dead"} {
		c.run(t, append([]string{"webhook"}, strings.Fields(unknown)...)...).expect(t, exitNo, "there is no such endpoint")
	}
}

func TestEndpointNeedsBooks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Books(0))
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL}}
	c.run(t, "webhook", "create", "--producer", "cli", "--url", "http://127.0.0.1:9", "--event", "reward.applied", "--allow-private").
		expect(t, exitTrouble, "run `settled migrate` first")
}
