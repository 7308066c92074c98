package refund_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

func revision() *tasks.RefundRevision {
	revision := tasks.RefundRevision(*answer(tasks.RefundSucceeded, false))
	revision.Reason = ""
	return &revision
}

// revise runs the rule over books in which the channel has answered so; nil means that no answer is applied.
func revise(t *testing.T, answered *ledger.ChannelAnswer) ledger.Decision {
	t.Helper()
	s := setup(tasks.Proportional, nil)
	s.PutRefundTries("rf01", &ledger.RefundTry{Number: "rf01", Answer: answered})
	return decide(t, s, refund.Revise(), revision())
}

func failure(consented bool, fen int64) *ledger.ChannelAnswer {
	answered := &ledger.ChannelAnswer{Result: tasks.RefundFailed, Consented: consented, Amount: money.FromFen(fen)}
	if !consented {
		answered.Case = &ledger.StandingCase{Kind: ledger.FailedRefund, Account: "channel/wechat/refunding", Amount: money.FromFen(fen)}
	}
	return answered
}

func TestSuccessAfterAFailureLeavesTheChannelsClearingAndEndsTheCase(t *testing.T) {
	t.Parallel()
	d := revise(t, failure(false, 6_00))
	wantMoves(t, d, "channel/wechat/refunding -> channel/wechat/clearing 6.00")
	if want := "wechat has paid after all: the case failed_refund of number rf01 is over"; d.Detail() != want || len(d.Cases) != 0 {
		t.Errorf("detail %q, want %q; cases %v", d.Detail(), want, d.Cases)
	}
	if d.Closes == nil || d.Closes.Kind != tasks.RefundRevise || d.Closes.By != tasks.BySettled {
		t.Errorf("closes %+v", d.Closes)
	}
}

// What a person did with the failure's money decides what a later success means.
func TestSuccessAfterAFailureThatAPersonHasDecided(t *testing.T) {
	t.Parallel()
	for by, want := range map[tasks.Kind]struct{ moved, twice int }{
		tasks.CreditCase: {1, 1}, tasks.CloseCase: {0, 0}, tasks.ReturnCase: {1, 0}, // of that, the other number is to be heard of
	} {
		answered := failure(false, 6_00)
		answered.Case.ClosedBy = by
		d := revise(t, answered)
		if !d.Applied() || len(d.Cases) != want.twice || len(d.Transfers) != want.moved || d.Closes != nil {
			t.Errorf("after %s: moves %v, cases %v, closes %v", by, moves(d), d.Cases, d.Closes)
		}
	}
}

// What counts is what the failure's answer did with the money, whatever the revision says of consent.
func TestSuccessAfterAFailureThatCreditedTheUserAsksAPerson(t *testing.T) {
	t.Parallel()
	d := revise(t, failure(true, 6_00))
	wantMoves(t, d, "channel/wechat/refunding -> channel/wechat/clearing 6.00")
	want := []ledger.Case{{Kind: ledger.PaidTwice, Account: "channel/wechat/refunding", Amount: money.FromFen(6_00),
		Detail: "wechat has paid refund r1, number rf01, whose amount user ada had already got as cash"}}
	if diff := cmp.Diff(want, d.Cases); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
}

func TestRevisionWaitsForItsAnswer(t *testing.T) {
	t.Parallel()
	if d := revise(t, nil); d.Applied() || d.WaitsFor() != "refund:answer/rf01" {
		t.Errorf("applied %v, waits for %q; want it to wait for refund:answer/rf01", d.Applied(), d.WaitsFor())
	}
}

func TestRevisionOfAnythingButThatFailureIsRejected(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]*ledger.ChannelAnswer{
		"a success":                    {Result: tasks.RefundSucceeded, Amount: money.FromFen(6_00)},
		"an end nobody knows":          {Result: "reversed", Amount: money.FromFen(6_00)},
		"another amount":               failure(false, 6_01),
		"another amount, with consent": failure(true, 5_99),
	} {
		if d := revise(t, answered); d.Reason() != tasks.AnswerMatchesNoRefund || len(d.Transfers) != 0 {
			t.Errorf("%s: reason %q, moves %v", name, d.Reason(), moves(d))
		}
	}
}

// retry is the answer to a number under which a failed refund was sent again.
func retry(end tasks.RefundEnd) *tasks.RefundResult {
	p := answer(end, false)
	p.Number = "rc02"
	return p
}

// sentAgain are two tries of one leg: the first has failed, and its case was returned.
func sentAgain() (first, second *ledger.RefundTry) {
	failed := failure(false, 6_00)
	failed.Case.ClosedBy = tasks.ReturnCase
	return &ledger.RefundTry{Number: "rf01", Answer: failed}, &ledger.RefundTry{Number: "rc02"}
}

// R7, within one batch, where nothing is read anew: each order of hearing both ends the same.
func TestLateSuccessAndTheAnswerToTheNextNumberInOneBatch(t *testing.T) {
	t.Parallel()
	for end, want := range map[tasks.RefundEnd]struct{ moved, twice int }{
		tasks.RefundSucceeded: {2, 1}, tasks.RefundFailed: {1, 0},
	} {
		for _, lateFirst := range []bool{true, false} {
			s := setup(tasks.Proportional, nil)
			first, second := sentAgain()
			s.PutRefundTries("rf01", first, second)
			s.PutRefundTries("rc02", first, second)
			heard := func(late bool) ledger.Decision {
				if late {
					return decide(t, s, refund.Revise(), revision())
				}
				return decide(t, s, refund.Answer(), retry(end))
			}
			a, b := heard(lateFirst), heard(!lateFirst)
			if moved := len(a.Transfers) + len(b.Transfers); moved != want.moved {
				t.Errorf("%s, late first %t: %d moves, want %d", end, lateFirst, moved, want.moved)
			}
			open, twice := 0, 0
			for _, d := range []ledger.Decision{a, b} {
				for _, c := range d.Cases {
					if c.Kind == ledger.PaidTwice {
						twice++
					} else {
						open++
					}
				}
				if d.Closes != nil {
					open--
				}
			}
			if twice != want.twice || open != 0 {
				t.Errorf("%s, late first %t: %d were paid twice, want %d; %d failures are open", end, lateFirst, twice, want.twice, open)
			}
		}
	}
}

func TestFailureOfANumberWhoseMoneyAnotherHasPaidAsksNobody(t *testing.T) {
	t.Parallel()
	s := setup(tasks.Proportional, nil)
	first, second := sentAgain()
	first.Revised = true
	s.PutRefundTries("rc02", first, second)
	d := decide(t, s, refund.Answer(), retry(tasks.RefundFailed))
	wantMoves(t, d)
	if want := `wechat answered failed ("card void"), and has paid number rf01 of the same money`; d.Detail() != want || len(d.Cases) != 0 {
		t.Errorf("detail %q, want %q; cases %v", d.Detail(), want, d.Cases)
	}
	if d.WaitsFor() != "" || len(d.Wakes) != 1 || d.Wakes[0] != "refund:answer/rc02" {
		t.Errorf("wakes %v", d.Wakes)
	}
}
