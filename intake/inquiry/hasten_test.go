package inquiry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/ledger"
)

func TestOrdersAreAskedAboutAtOnceWhenAPersonWantsIt(t *testing.T) {
	t.Parallel()
	w := open(t)
	first, second := w.order(t, "rc1"), w.order(t, "rc2")
	w.wechat.says(paid(first, "t1"), nil)
	hasten := func(id string, want bool) {
		t.Helper()
		if hastened, err := inquiry.Hasten(t.Context(), w.DB.Pool, id, w.clock.Now()); err != nil || hastened != want {
			t.Errorf("%s is hastened: %t, %v; want %t", id, hastened, err, want)
		}
	}
	hasten("rc1", true)
	w.page(t)
	w.expectAsked(t, 1)
	w.expect(t, map[ledger.AccountName]string{cash: "100.00"})
	hasten("rc1", false) // it is known as paid
	hasten("nobody", false)
	w.wechat.says(paid(second, "t2"), nil)
	for i, want := range []int{1, 0} {
		if hastened, err := inquiry.HastenAll(t.Context(), w.DB.Pool, w.clock.Now()); err != nil || hastened != want {
			t.Errorf("time %d: %d are hastened, %v; want %d", i, hastened, err, want)
		}
	}
	w.page(t)
	w.expect(t, map[ledger.AccountName]string{cash: "200.00"})
	w.expectWaiting(t, 0)
}

// A payer may show that he has paid when nobody asks any more.
func TestOrderWhoseInquiriesHaveEndedIsAskedAboutOnceMoreWhenAPersonWantsIt(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.wechat.says(channel.Notice{}, channel.ErrUnpaid)
	for day := 0; w.count(t, "SELECT count(*) FROM recharge_inquiries") > 0; day++ {
		w.at(time.Duration(day) * 24 * time.Hour)
		w.page(t)
	}
	for asked, answer := range []error{channel.ErrUnpaid, nil} {
		before := w.wechat.calls()
		w.wechat.says(paid(order, fmt.Sprint("t", asked)), answer)
		if hastened, err := inquiry.Hasten(t.Context(), w.DB.Pool, "rc1", w.clock.Now()); err != nil || !hastened {
			t.Fatalf("hastened: %t, %v", hastened, err)
		}
		w.page(t)
		w.expectAsked(t, before+1)
		w.expectWaiting(t, 0)
	}
	w.expect(t, map[ledger.AccountName]string{cash: "100.00"})
}

// A process that has claimed an order keeps on; what it stores of the answer does not undo the haste.
func TestHasteMeetsAClaimedOrder(t *testing.T) {
	t.Parallel()
	w := open(t)
	order := w.order(t, "rc1")
	w.wechat.says(channel.Notice{}, channel.ErrUnpaid)
	w.at(5 * time.Minute)
	if claimed, err := w.Claim(t.Context(), order.Channel); err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %v, %v", claimed, err)
	}
	if hastened, err := inquiry.HastenAll(t.Context(), w.DB.Pool, w.clock.Now()); err != nil || hastened != 1 {
		t.Fatalf("hastened %d, %v", hastened, err)
	}
	w.page(t)
	w.expectAsked(t, 1)
	w.expectWaiting(t, 1)
}
