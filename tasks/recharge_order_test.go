package tasks_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestRechargeOrderIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for name, expires := range map[string]time.Time{"of its own expiry": time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), "without one": {}} {
		order := tasks.RechargeOrder{RechargeID: "rc1", UserID: "u1", Channel: tasks.SourceWeChat, Amount: money.FromFen(1), ExpiresAt: expires}
		written, err := json.Marshal(order)
		if err != nil {
			t.Fatal(err)
		}
		read, err := tasks.ParseRechargeOrder(written)
		if err != nil || !read.ExpiresAt.Equal(expires) {
			t.Errorf("an order %s is written as %s and read as %+v: %v", name, written, read, err)
		}
	}
}
