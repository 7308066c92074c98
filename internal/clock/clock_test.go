package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
)

var noon = time.Date(2025, 6, 18, 12, 0, 0, 0, clock.Shanghai)

func TestSystemClockNeverRunsBackwards(t *testing.T) {
	t.Parallel()
	first := clock.System.Now()
	if second := clock.System.Now(); second.Before(first) {
		t.Errorf("second reading %v is before the first %v", second, first)
	}
}

func TestSystemTimerFires(t *testing.T) {
	t.Parallel()
	select {
	case <-clock.System.After(time.Microsecond):
	case <-t.Context().Done():
		t.Error("timer did not fire")
	}
}

func TestFixedClockStandsStill(t *testing.T) {
	t.Parallel()
	c := clock.Fixed(noon)
	if got := c.Now(); !got.Equal(noon) {
		t.Errorf("Now() = %v, want %v", got, noon)
	}
}

func TestManualClockMovesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	m := clock.NewManual(noon)
	if got := m.Now(); !got.Equal(noon) {
		t.Errorf("Now() = %v, want %v", got, noon)
	}
	m.Advance(90 * time.Minute)
	if got, want := m.Now(), noon.Add(90*time.Minute); !got.Equal(want) {
		t.Errorf("after Advance Now() = %v, want %v", got, want)
	}
	m.Set(noon.Add(-time.Hour))
	if got, want := m.Now(), noon.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("after Set back Now() = %v, want %v", got, want)
	}
}

func TestManualTimerFiresWhenItsTimeIsReachedAndNotBefore(t *testing.T) {
	t.Parallel()
	m := clock.NewManual(noon)
	timer := m.After(time.Minute)
	m.Advance(59 * time.Second)
	if fired(timer) {
		t.Fatal("fired a second early")
	}
	m.Advance(-time.Hour)
	if fired(timer) {
		t.Fatal("fired when the clock was set back")
	}
	m.Set(noon.Add(time.Minute))
	select {
	case at := <-timer:
		if want := noon.Add(time.Minute); !at.Equal(want) {
			t.Errorf("fired with %v, want the due time %v", at, want)
		}
	default:
		t.Fatal("did not fire when its time was reached")
	}
	m.Advance(time.Hour)
	if fired(timer) {
		t.Error("fired twice")
	}
}

func TestManualTimerWithoutDelayIsReadyAtOnce(t *testing.T) {
	t.Parallel()
	if !fired(clock.NewManual(noon).After(0)) {
		t.Error("a timer of no duration waits")
	}
}

func TestWaitForTimersReturnsWhenSomebodyWaits(t *testing.T) {
	t.Parallel()
	m := clock.NewManual(noon)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-m.After(time.Hour)
	}()
	if err := m.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	m.Advance(time.Hour)
	<-done
}

func TestWaitForTimersEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clock.NewManual(noon).WaitForTimers(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}

func TestBusinessDateIsShanghaisWhateverTheZoneOfTheTime(t *testing.T) {
	t.Parallel()
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		at   time.Time
		want string
	}{
		"last millisecond of the day": {time.Date(2025, 6, 18, 23, 59, 59, 999e6, clock.Shanghai), "2025-06-18"},
		"midnight":                    {time.Date(2025, 6, 19, 0, 0, 0, 0, clock.Shanghai), "2025-06-19"},
		"16:00 UTC is midnight":       {time.Date(2025, 6, 18, 16, 0, 0, 0, time.UTC), "2025-06-19"},
		"just before 16:00 UTC":       {time.Date(2025, 6, 18, 15, 59, 59, 999999999, time.UTC), "2025-06-18"},
		"noon in New York":            {time.Date(2025, 6, 18, 12, 0, 0, 0, newYork), "2025-06-19"},
		"year end":                    {time.Date(2025, 12, 31, 16, 0, 0, 0, time.UTC), "2026-01-01"},
		"leap day":                    {time.Date(2024, 2, 28, 16, 0, 0, 0, time.UTC), "2024-02-29"},
		"summer time of 1990":         {time.Date(1990, 7, 1, 15, 0, 0, 0, time.UTC), "1990-07-02"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := clock.BusinessDate(test.at); got != test.want {
				t.Errorf("BusinessDate(%v) = %s, want %s", test.at, got, test.want)
			}
		})
	}
}

func fired(timer <-chan time.Time) bool {
	select {
	case <-timer:
		return true
	default:
		return false
	}
}
