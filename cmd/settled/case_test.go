package main

import (
	"strings"
	"testing"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

// suspend has a payment suspended beside u1, and returns its case's id.
func suspend(t *testing.T, books *ledgertest.Books, txn string) string {
	t.Helper()
	ledgertest.Applied(t, books.Do(t, &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: txn, OutTradeNo: "RC1",
		Amount: ledgertest.Yuan("10.00"), Cause: tasks.ClosedOrder, UserID: "u1", RechargeID: "rc-" + txn, OccurredAt: ledgertest.Noon})...)
	cases, _, err := books.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true}, ledger.CasePosition{}, 100)
	if err != nil || len(cases) == 0 {
		t.Fatal(cases, err)
	}
	return cases[len(cases)-1].ID
}

func TestCaseIsListedShownAndDecidedOnce(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	c.run(t, "case", "list").expect(t, exitOK, "no case waits for a person")
	id := suspend(t, books, "t1")
	c.run(t, "case", "list").expect(t, exitOK, id, "unmatched_recharge", "10.00", "suspense/wechat")
	c.run(t, "case", "show", id).expect(t, exitOK, ": open", "10.00 in suspense/wechat", "recharge:suspend wechat/t1", "closed_order")
	credit := []string{"case", "credit", id, "--user", "u1", "--note", "hers", "--wait", "0s"}
	c.run(t, credit...).expect(t, exitNo, "has no account")
	c.run(t, append(credit, "--new-user")...).expect(t, exitOK, "case:credit "+id+":u1: accepted")
	ledgertest.Applied(t, books.Do(t, &tasks.CaseCredit{CaseID: id, UserID: "u1", By: "ada", Note: "hers"})...)
	c.run(t, credit...).expect(t, exitOK, "case:credit "+id+":u1: applied")
	c.run(t, "case", "credit", id, "--user", "u1", "--note", "again", "--wait", "0s").expect(t, exitNo, "asked before with other content", "note")
	c.run(t, "case", "show", id).expect(t, exitOK, ": closed", "case:credit "+id, "ada", "hers")
	c.run(t, "case", "list", "--all").expect(t, exitOK, id, "case:credit, ada")
	c.run(t, "case", "list").expect(t, exitOK, "no case waits for a person")
	books.Do(t, &tasks.CaseReturn{CaseID: id, By: "ada", Note: "back"})
	c.run(t, "case", "return", id, "--note", "back").expect(t, exitNo, "case_is_closed")
}

func TestReturnOfACaseTellsHowFarItsChannelIs(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	id := suspend(t, books, "t1")
	c.run(t, "case", "return", id, "--note", "twice", "--wait", "0s").expect(t, exitOK, "accepted")
	ledgertest.Applied(t, books.Do(t, &tasks.CaseReturn{CaseID: id, By: "ada", Note: "twice"})...)
	c.run(t, "case", "show", id).expect(t, exitOK, "number rc", "processing")
}

func TestCasesAreListedInPages(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	first, second := suspend(t, books, "t1"), suspend(t, books, "t2")
	got := c.run(t, "case", "list", "--limit", "1")
	got.expect(t, exitOK, first, "more: --after ")
	_, after, _ := strings.Cut(strings.TrimSpace(got.stdout), "more: --after ")
	c.run(t, "case", "list", "--limit", "1", "--after", after).expect(t, exitOK, second)
	for _, args := range [][]string{{"list", "--after", "x"}, {"list", "--kind", "lost"}, {"list", "--limit", "0"}, {"show", "x"},
		{"close", first, "--note", "x"}, {"credit", first, "--user", "u1"}} {
		c.run(t, append([]string{"case"}, args...)...).expect(t, exitUsage)
	}
}

func TestRefundThatFailedIsSentAgainAndIsNobodyElses(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	ledgertest.Applied(t, books.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "20.00")),
		ledgertest.Refund("r1", "o1", "u1", "6.00"), ledgertest.Recharge("rc9", "u2", "1.00"))...)
	ledgertest.Applied(t, books.Do(t, &tasks.RefundResult{Number: refund.Number("r1", 0), RefundID: "r1", UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("6.00"), Result: tasks.RefundFailed, Reason: "CLOSED", OccurredAt: ledgertest.Noon})...)
	cases, _, err := books.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true}, ledger.CasePosition{}, 2)
	if err != nil || len(cases) != 1 {
		t.Fatal(cases, err)
	}
	id := cases[0].ID
	books.Do(t, &tasks.CaseCredit{CaseID: id, UserID: "u2", By: "ada", Note: "hers"})
	c.run(t, "case", "credit", id, "--user", "u2", "--note", "hers").expect(t, exitNo, "order_of_another_user")
	c.run(t, "case", "return", id, "--by", "settled", "--note", "x", "--wait", "0s").expect(t, exitUsage, "the person who decides")
	c.run(t, "case", "return", id, "--note", "topped up", "--wait", "0s").expect(t, exitOK, "case:return "+id+": accepted")
	ledgertest.Applied(t, books.Do(t, &tasks.CaseReturn{CaseID: id, By: "ada", Note: "topped up"})...)
	c.run(t, "case", "show", id).expect(t, exitOK, ": closed", "number "+wallet.ReturnNumber(id)+", processing")
}
