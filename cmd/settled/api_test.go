package main

import (
	"sync/atomic"
	"testing"
)

func TestOnlyTheAPIBoundsTheMemoryOfItsProcess(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{"api": apiMemoryBytes, "worker": 0} {
		var limit atomic.Int64
		c := call{limited: limit.Store, env: map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/books",
			"REDIS_URL": "redis://127.0.0.1:1/0", "SETTLED_METRICS_LISTEN": "off", "SETTLED_LISTEN": "127.0.0.1:0"}}
		p := c.start(t, name)
		p.says(p.stderr, "waiting for PostgreSQL")
		if got := limit.Load(); got != want {
			t.Errorf("%s is bounded to %d bytes, want %d", name, got, want)
		}
	}
}
