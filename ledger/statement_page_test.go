package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// wholeStatement pages through a statement.
func wholeStatement(t *testing.T, b *ledgertest.Books, query ledger.StatementQuery) []ledger.Entry {
	t.Helper()
	var all []ledger.Entry
	for {
		page, err := b.Reader.StatementPage(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) > query.Limit || len(page.Next) > 0 && len(page.Entries) != query.Limit {
			t.Fatalf("a page of %d has %d entries, and then comes %v", query.Limit, len(page.Entries), page.Next)
		}
		all = append(all, page.Entries...)
		if len(page.Next) == 0 {
			return all
		}
		query.After = page.Next
	}
}

func TestStatementBetweenTwoTimesHasWhatWasPostedThen(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Enrolment("e1", "ada", "5.00"))...)
	randomHistory(t, b, []string{"ada", "ben"}, 20)
	for _, user := range []string{"ada", "ben"} {
		want := wholeStatement(t, b, ledger.StatementQuery{UserID: user, Limit: 1000})
		if len(want) < 20 {
			t.Fatalf("%d entries", len(want))
		}
		from, to := want[len(want)*3/4].PostedAt, want[len(want)/4].PostedAt
		within := slices.DeleteFunc(slices.Clone(want), func(e ledger.Entry) bool { return e.PostedAt.Before(from) || !e.PostedAt.Before(to) })
		got := wholeStatement(t, b, ledger.StatementQuery{UserID: user, Limit: 3, From: from, To: to})
		if diff := cmp.Diff(within, got, sameAmounts); diff != "" || len(within) == 0 {
			t.Fatalf("statement of %s between two times, %d entries (-want +got):\n%s", user, len(within), diff)
		}
	}
}

func TestWhatIsPostedWhileSomebodyPagesIsNotOnLaterPages(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "1.00"), ledgertest.Recharge("r2", "u1", "2.00"))...)
	query := ledger.StatementQuery{UserID: "u1", Limit: 1}
	first, err := b.Reader.StatementPage(t.Context(), query)
	if err != nil || len(first.Entries) != 1 || first.Entries[0].Key != "r2" || len(first.Next) == 0 {
		t.Fatalf("first page %+v, %v", first, err)
	}
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r3", "u1", "3.00"), ledgertest.Reward("w1", "u1", "4.00"))...)
	query.After = first.Next
	second, err := b.Reader.StatementPage(t.Context(), query)
	if err != nil || len(second.Entries) != 1 || second.Entries[0].Key != "r1" || len(second.Next) != 0 {
		t.Errorf("second page %+v, %v", second, err)
	}
}

func TestStatementPageShowsNobodyElsesAccounts(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	other := userIn(0, 0)
	for nth := 1; ; nth++ { // two users of one book
		mine := userIn(0, nth)
		if mine == other {
			continue
		}
		ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", other, "1.00"), ledgertest.Recharge("r2", other, "1.00"),
			ledgertest.Recharge("r3", mine, "1.00"))...)
		stolen, err := b.Reader.StatementPage(t.Context(), ledger.StatementQuery{UserID: other, Limit: 1})
		if err != nil || len(stolen.Next) == 0 {
			t.Fatalf("page %+v, %v", stolen, err)
		}
		page, err := b.Reader.StatementPage(t.Context(), ledger.StatementQuery{UserID: mine, Limit: 10, After: stolen.Next})
		if err != nil || len(page.Entries) != 0 {
			t.Errorf("by another user's position: %+v, %v", page, err)
		}
		break
	}
	_, err := b.Reader.StatementPage(t.Context(), ledger.StatementQuery{UserID: "nobody", Limit: 10})
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("statement of nobody: %v", err)
	}
}
