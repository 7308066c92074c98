package simulate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
)

func TestWrongAmountsAreAFenBesideWhatWasAsked(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.WrongAmounts = 1000 })
	found := map[string]bool{}
	for i := range 20 {
		for _, asked := range []string{"0.01", "5.00"} {
			order := simulate.Order{OutTradeNo: fmt.Sprintf("o%d-%s", i, asked[:1]), Amount: yuan(t, asked), NotifyURL: "none"}
			paid := s.pay(t, order)
			found[paid.Amount.String()] = true
			if again := s.pay(t, order); again.Amount != paid.Amount || !again.Replayed {
				t.Errorf("asked again: %+v, want %+v", again, paid)
			}
		}
	}
	if len(found) != 3 || !found["0.02"] || !found["4.99"] || !found["5.01"] {
		t.Errorf("paid %v", found)
	}
}

func TestDuplicatesGoOutTogether(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.Duplicates = 1000 })
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00")})
	one, other := s.merchant.next(t), s.merchant.next(t) // neither is answered before both are here
	if one.Notice != other.Notice {
		t.Errorf("%+v and %+v", one.Notice, other.Notice)
	}
	one.answer <- 200
	other.answer <- 200
	if e := s.entry(t, "rc1", simulate.NoticeAcknowledged); e.Deliveries != 2 {
		t.Errorf("%+v, want 2 deliveries", e)
	}
}

func TestRepeatsComeAgainAfterTheyWereAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.Repeats = 1000 })
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00")})
	s.merchant.next(t).answer <- 200
	if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Minute)
	s.merchant.next(t).answer <- 200
	s.entry(t, "rc1", simulate.NoticeAcknowledged)
}

func TestReorderedNoticeIsOvertaken(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.Reorders = 1000 })
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00")})
	if err := s.clock.WaitForTimers(t.Context(), 1); err != nil { // it waits for another one
		t.Fatal(err)
	}
	if err := s.SetFaults(simulate.Faults{}); err != nil {
		t.Fatal(err)
	}
	s.pay(t, simulate.Order{OutTradeNo: "rc2", Amount: yuan(t, "1.00")})
	for _, want := range []string{"rc2", "rc1"} {
		h := s.merchant.next(t)
		if h.OutTradeNo != want {
			t.Errorf("%s came, want %s", h.OutTradeNo, want)
		}
		h.answer <- 200
	}
}

func TestReorderedNoticeWaitsForNobodyForEver(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.Reorders = 1000 })
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00")})
	if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Minute)
	s.merchant.next(t).answer <- 200
	s.entry(t, "rc1", simulate.NoticeAcknowledged)
}

func TestDelayedNoticeIsLate(t *testing.T) {
	t.Parallel()
	s := newStreet(t, func(c *simulate.Config) { c.Faults.Delays = 1000 })
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00")})
	if err := s.clock.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if e := s.entry(t, "rc1", simulate.NoticeWaiting); e.Deliveries != 0 {
		t.Errorf("%+v was delivered at once", e)
	}
	s.clock.Advance(5 * time.Minute)
	s.merchant.next(t).answer <- 200
	s.entry(t, "rc1", simulate.NoticeAcknowledged)
}

func TestLostNoticesNeverArrive(t *testing.T) {
	t.Parallel()
	s := newStreet(t, nil)
	s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00"), Lost: true})
	if err := s.SetFaults(simulate.Faults{Lost: 1000}); err != nil {
		t.Fatal(err)
	}
	s.pay(t, simulate.Order{OutTradeNo: "rc2", Amount: yuan(t, "1.00")})
	if err := s.SetFaults(simulate.Faults{}); err != nil {
		t.Fatal(err)
	}
	s.pay(t, simulate.Order{OutTradeNo: "rc3", Amount: yuan(t, "1.00")})
	h := s.merchant.next(t)
	if h.OutTradeNo != "rc3" {
		t.Errorf("a notice of %s came", h.OutTradeNo)
	}
	h.answer <- 200
	s.entry(t, "rc3", simulate.NoticeAcknowledged)
	other := openStreet(t, newMerchant(t), s.clock, s.crashed(t), nil)
	for _, order := range []string{"rc1", "rc2"} {
		for _, at := range []*street{s, other} {
			if e := at.entry(t, order, simulate.NoticeLost); e.Deliveries != 0 {
				t.Errorf("%+v", e)
			}
		}
	}
}

func TestProbesThatAreTakenAreRecorded(t *testing.T) {
	t.Parallel()
	for answer, want := range map[int]int{200: 1, 401: 0} {
		s := newStreet(t, func(c *simulate.Config) { c.Faults.Probes = 1000 })
		s.pay(t, simulate.Order{OutTradeNo: "rc1", Amount: yuan(t, "1.00")})
		probe := s.merchant.next(t)
		if !probe.probe {
			t.Error("the probe does not come first")
		}
		probe.answer <- answer
		s.merchant.next(t).answer <- 200
		if e := s.entry(t, "rc1", simulate.NoticeAcknowledged); e.ProbesAcknowledged != want || e.Deliveries != 1 {
			t.Errorf("probe answered with %d: %+v", answer, e)
		}
	}
}

func TestSeedDecidesWhomFaultsHit(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		s := newStreet(t, func(c *simulate.Config) { c.Seed, c.Faults.WrongAmounts = seed, 500 })
		hit := ""
		for i := range 40 {
			paid := s.pay(t, simulate.Order{OutTradeNo: fmt.Sprintf("o%d", i), Amount: yuan(t, "1.00"), NotifyURL: "none"})
			hit += paid.Amount.String() + " "
		}
		return hit
	}
	if one, same, other := run(1), run(1), run(2); one != same || one == other {
		t.Errorf("seed 1: %s\nseed 1: %s\nseed 2: %s", one, same, other)
	}
}
