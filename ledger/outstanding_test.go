package ledger_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// outstandingKeys pages through the outstanding requests that match.
func outstandingKeys(t *testing.T, b *ledgertest.Books, filter ledger.OutstandingFilter, limit int) []string {
	t.Helper()
	var keys []string
	for after := ledger.FirstRequest(); ; {
		page, next, err := b.Reader.Outstanding(t.Context(), filter, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit {
			t.Fatalf("a page of %d has %d requests", limit, len(page))
		}
		for _, request := range page {
			keys = append(keys, request.Key+" "+request.State)
		}
		if next == nil {
			slices.Sort(keys)
			return keys
		}
		after = *next
	}
}

func TestOutstandingRequestsAreListedByStateKindAndProducer(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	other, err := b.Client.As("other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Enqueue(t.Context(), ledgertest.Recharge("r9", "u9", "1.00")); err != nil {
		t.Fatal(err)
	}
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "1.00"))...)
	for i := range 6 {
		user := fmt.Sprint("u", i) // in several books
		b.Accept(t, ledgertest.Reward(fmt.Sprint("w", i), user, "1.00"))
		b.Do(t, ledgertest.Refund(fmt.Sprint("f", i), "none", user, "1.00"))
	}
	for _, test := range []struct {
		filter ledger.OutstandingFilter
		want   []string
	}{
		{ledger.OutstandingFilter{State: ledger.StateParked}, []string{"f0 parked", "f1 parked", "f2 parked", "f3 parked", "f4 parked",
			"f5 parked"}},
		{ledger.OutstandingFilter{Kind: tasks.RewardGrant, State: ledger.StateAccepted}, []string{"w0 accepted", "w1 accepted",
			"w2 accepted", "w3 accepted", "w4 accepted", "w5 accepted"}},
		{ledger.OutstandingFilter{Producer: "other"}, []string{"r9 accepted"}},
		{ledger.OutstandingFilter{Producer: "other", Kind: tasks.RewardGrant}, nil},
		{ledger.OutstandingFilter{State: ledger.StateDead}, nil},
	} {
		for _, limit := range []int{1, 2, 5, 500} {
			if diff := cmp.Diff(test.want, outstandingKeys(t, b, test.filter, limit)); diff != "" {
				t.Errorf("%+v in pages of %d (-want +got):\n%s", test.filter, limit, diff)
			}
		}
	}
	if all := outstandingKeys(t, b, ledger.OutstandingFilter{}, 3); len(all) != 13 {
		t.Errorf("%d outstanding requests: %v", len(all), all)
	}
}

func TestPageOfFewAmongManyLooksAtSomeAndGoesOn(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	payloads := make([]tasks.Payload, 5000)
	for i := range payloads {
		payloads[i] = ledgertest.Reward(fmt.Sprint("w", i), "u1", "1.00")
	}
	b.Accept(t, payloads...)
	b.Accept(t, ledgertest.Recharge("r1", "u1", "1.00"))
	filter := ledger.OutstandingFilter{Kind: tasks.RechargeConfirm}
	page, next, err := b.Reader.Outstanding(t.Context(), filter, ledger.FirstRequest(), 10)
	if err != nil || len(page) != 0 || next == nil {
		t.Fatalf("first page %+v, next %v, %v", page, next, err)
	}
	page, next, err = b.Reader.Outstanding(t.Context(), filter, *next, 10)
	if err != nil || len(page) != 1 || page[0].Key != "r1" || next != nil {
		t.Errorf("second page %+v, next %v, %v", page, next, err)
	}
}
