package tasks_test

import (
	"slices"
	"testing"
	"time"

	"github.com/settled-dev/settled/tasks"
)

func TestBellsThatComeWhileTheRingerRestsAreRungTogether(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	ringer := tasks.StartRinger(t.Context(), tasks.NewDoorbell(client), 500, time.Hour, failOnRingError(t))
	bells := bellsOf(12, tasks.RefundApply, 1)
	ringer.Ring(bells[:2])
	eventually(t, "the first two are rung", func() bool { return len(pendingRings(t, client)) == 1 })
	for i := 2; i < len(bells); i++ {
		ringer.Ring(bells[i : i+1])
	}
	ringer.Close() // ends the hour's rest
	rings := pendingRings(t, client)
	expectRungOnce(t, rings, bells)
	if len(rings) != 2 {
		t.Errorf("%d rings for two bells and ten that came during the rest, want 2", len(rings))
	}
}

func TestLoneBellIsFollowedByNoRest(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	ringer := tasks.StartRinger(t.Context(), tasks.NewDoorbell(client), 500, time.Hour, failOnRingError(t))
	defer ringer.Close()
	bells := bellsOf(3, tasks.RefundApply, 1)
	for i := range bells {
		ringer.Ring(bells[i : i+1])
		eventually(t, "the bell is rung", func() bool { return len(pendingRings(t, client)) == i+1 })
	}
	expectRungOnce(t, pendingRings(t, client), bells)
}

func TestBellsAfterCloseAreLeftToTheRelay(t *testing.T) {
	t.Parallel()
	client := openRedis(t)
	ringer := tasks.StartRinger(t.Context(), tasks.NewDoorbell(client), 500, 0, failOnRingError(t))
	bells := bellsOf(2, tasks.RefundApply, 1)
	ringer.Ring(slices.Clone(bells[:1]))
	ringer.Close()
	ringer.Ring(bells[1:])
	ringer.Close()
	expectRungOnce(t, pendingRings(t, client), bells[:1])
}

func failOnRingError(t *testing.T) func(error) {
	return func(err error) { t.Errorf("ring: %v", err) }
}
