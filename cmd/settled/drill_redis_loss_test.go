package main

import (
	"testing"

	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// A live system, which the drill did not start, keeps what it accepted while its Redis was emptied, frozen, or replaced.
func TestDrillTakesALiveSystemsRedisAwayAndNothingIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  func(*testing.T) string
		args []string
		says string
	}{
		"emptied": {func(t *testing.T) string { return redistest.New(t).URL }, nil, "accepted 200 · lost 0 · doubled 0 · recovered in "},
		"frozen":  {func(t *testing.T) string { return redistest.New(t).URL }, []string{"--outage", "2s"}, " s that redis was away · lost 0 · doubled 0 · "},
		"replaced": {func(t *testing.T) string { return redistest.StartWatched(t).URL }, []string{"--failover"},
			" s that redis was away · lost 0 · doubled 0 · "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			ledgertest.Audit(t, db)
			system := call{env: map[string]string{"DATABASE_URL": db.URL, "REDIS_URL": c.url(t), "SETTLED_METRICS_LISTEN": "off"}}
			worker := system.start(t, "worker")
			worker.says(worker.stderr, "msg=started")
			system.run(t, append([]string{"drill", "redis-loss", "--yes", "--requests", "200"}, c.args...)...).expect(t, exitOK, c.says)
		})
	}
}
