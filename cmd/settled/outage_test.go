package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
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
