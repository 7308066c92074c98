package ledger_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// failedRefund has 6.00 of an order sent back to WeChat Pay, and returns what it answers: that it failed, and that it has paid after all.
func failedRefund(t *testing.T, b *ledgertest.Books, consented bool) (*tasks.RefundResult, *tasks.RefundRevision) {
	t.Helper()
	ledgertest.Applied(t, b.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "20.00")),
		ledgertest.Refund("rf1", "o1", "u1", "6.00"))...)
	b.Settle(t)
	failure := answerTo(t, b.DB, "rf1")
	revision := tasks.RefundRevision(*failure)
	failure.Result, failure.Consented, revision.Consented = tasks.RefundFailed, consented, consented
	return failure, &revision
}

func casesOfKind(t *testing.T, b *ledgertest.Books, kind string) int {
	t.Helper()
	return count(t, b.DB, fmt.Sprintf("SELECT count(*) FROM cases WHERE kind = '%s' AND amount_fen = 600", kind))
}

// R7: whichever of the two is applied first, in one batch or in one each, the money moves once; with consent the user owes it.
func TestFailureAndItsRevisionConvergeInEveryOrder(t *testing.T) {
	t.Parallel()
	for _, consented := range []bool{false, true} {
		for _, order := range permutations(2) {
			for _, together := range []bool{true, false} {
				t.Run(fmt.Sprint(consented, order, together), func(t *testing.T) {
					t.Parallel()
					b := ledgertest.Open(t)
					failure, revision := failedRefund(t, b, consented)
					receipts := b.Accept(t, failure, revision)
					applyInOrder(t, b, receipts, order, together)
					ledgertest.Applied(t, b.Apply(t, receipts...)...)
					refunding, cash, failed, twice := "0.00", "0.00", 1, 0
					if consented {
						refunding, cash, failed, twice = "-6.00", "6.00", 0, 1
					}
					b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), refunding)
					b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-14.00")
					b.Expect(t, ledger.UserCash("u1"), cash)
					if a, b := casesOfKind(t, b, "failed_refund"), casesOfKind(t, b, "paid_twice"); a != failed || b != twice {
						t.Errorf("%d cases of a failed refund, want %d; %d of one that was paid twice, want %d", a, failed, b, twice)
					}
				})
			}
		}
	}
}

func TestRevisionIsParkedUntilItsAnswerIsDecidedAndWokenThen(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	failure, revision := failedRefund(t, b, false)
	receipt := b.Accept(t, revision)[0]
	if got := b.Apply(t, receipt)[0]; got.Fate != ledger.Parked {
		t.Fatalf("a revision before its answer is %+v", got)
	}
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "6.00")
	ledgertest.Applied(t, b.Do(t, failure)...)
	b.Settle(t)
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	record, err := b.Reader.Record(t.Context(), tasks.RefundRevise, revision.Number)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, event := range record.Timeline {
		events = append(events, event.Event)
	}
	if diff := cmp.Diff([]string{"accepted", "parked", "woken", "applied"}, events); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
}

func TestRevisionOfASuccessIsRejectedAndMovesNothing(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	_, revision := failedRefund(t, b, false)
	success := tasks.RefundResult(*revision)
	ledgertest.Applied(t, b.Do(t, &success)...)
	ledgertest.RejectedFor(t, b.Do(t, revision)[0], tasks.AnswerMatchesNoRefund)
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-14.00")
}

// No rule of this version rejects an answer; one that another version has rejected left the money where no revision may take it from.
func TestRevisionOfARejectedAnswerIsRejected(t *testing.T) {
	t.Parallel()
	for _, order := range permutations(2) {
		others := slices.DeleteFunc(rules.All(), func(rule ledger.Rule) bool { return rule.Kind() == tasks.RefundAnswer })
		b := ledgertest.Open(t, ledgertest.WithRules(append(others, ledger.NewRule(func(*tasks.RefundResult, *ledger.Reads) {},
			func(*ledger.State, *ledger.Request, *tasks.RefundResult) ledger.Decision {
				return ledger.Reject(tasks.AnswerMatchesNoRefund, "")
			}))...))
		failure, revision := failedRefund(t, b, false)
		receipts := b.Accept(t, failure, revision)
		applyInOrder(t, b, receipts, order, false)
		ledgertest.RejectedFor(t, b.Apply(t, receipts[1])[0], tasks.AnswerMatchesNoRefund)
		b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "6.00")
	}
}

// R7, at once: however many copies are accepted and applied, one of them moves the money.
func TestRevisionInManyCopiesMovesOnce(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	failure, revision := failedRefund(t, b, false)
	ledgertest.Applied(t, b.Do(t, failure)...)
	receipts := b.Accept(t, revision, revision, revision)
	for range 2 {
		ledgertest.Applied(t, b.Apply(t, receipts...)...)
	}
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-14.00")
	if n := count(t, b.DB, "SELECT count(*) FROM requests WHERE kind = 'refund:revise'"); n != 1 {
		t.Errorf("%d revisions are stored, want 1", n)
	}
}
