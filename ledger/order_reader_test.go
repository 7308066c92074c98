package ledger_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestOrderTellsItsLegsItsLinesAndThePolicy(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	policy := tasks.DefaultPolicy()
	policy.RefundSplit = tasks.ExternalFirst
	if _, err := ledger.SetPolicy(t.Context(), b.DB.Owner, policy, "test"); err != nil {
		t.Fatal(err)
	}
	payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "8.00"),
		tasks.Leg{Source: tasks.SourceWeChat, Amount: ledgertest.Yuan("2.00"), ChannelTxnID: "wx9"})
	payment.Lines = []tasks.Line{{LineID: "l2", Kind: tasks.Goods, Amount: ledgertest.Yuan("6.00")},
		{LineID: "l1", Kind: tasks.Shipping, Amount: ledgertest.Yuan("4.00")}}
	refund := ledgertest.Refund("f1", "o1", "u1", "3.00")
	refund.Lines = []tasks.LineRefund{{LineID: "l2", Amount: ledgertest.Yuan("3.00")}}
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"), payment, refund)...)
	record, err := b.Reader.Order(t.Context(), "o1")
	if err != nil {
		t.Fatal(err)
	}
	yuan := func(texts ...string) []money.Amount {
		list := make([]money.Amount, len(texts))
		for i, text := range texts {
			list[i] = ledgertest.Yuan(text)
		}
		return list
	}
	want := ledger.Order{ID: "o1", UserID: "u1", MerchantID: "m1", CapturedAt: record.CapturedAt,
		Legs: []ledger.Leg{{Source: tasks.SourceCash, Captured: yuan("8.00")[0], Refunded: yuan("2.40")[0]},
			{Source: tasks.SourceWeChat, ChannelTxnID: "wx9", Captured: yuan("2.00")[0], Refunded: yuan("0.60")[0], Asked: 1}},
		Lines: []ledger.Line{
			{ID: "l2", Kind: tasks.Goods, Amount: yuan("6.00")[0], Allocated: yuan("4.80", "1.20"), Refunded: yuan("2.40", "0.60")},
			{ID: "l1", Kind: tasks.Shipping, Amount: yuan("4.00")[0], Allocated: yuan("3.20", "0.80"), Refunded: yuan("0.00", "0.00")}}}
	if diff := cmp.Diff(want, record.Order, sameAmounts); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if record.Policy.RefundSplit != tasks.ExternalFirst || record.Book != tasks.BookOf("u1", b.Client.Books()) || record.CapturedAt.IsZero() {
		t.Errorf("record %+v", record)
	}
}

func TestOrderThatWasNotCapturedIsNotFound(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	b.Accept(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "8.00")))
	ledgertest.RejectedFor(t, b.Do(t, ledgertest.Payment("o2", "u1", ledgertest.Leg(tasks.SourceCash, "8.00")))[0], tasks.NoAccount)
	for _, id := range []string{"o1", "o2", "nosuch"} {
		if record, err := b.Reader.Order(t.Context(), id); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: %+v, %v", id, record, err)
		}
	}
}

func TestRefundsOfAnOrderAreListedInPages(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"),
		ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "5.00")),
		ledgertest.Payment("o2", "u1", ledgertest.Leg(tasks.SourceCash, "5.00")),
		ledgertest.Refund("other", "o2", "u1", "1.00"))...)
	for i := range 5 {
		answer := b.Do(t, ledgertest.Refund(fmt.Sprint("f", i), "o1", "u1", "1.25"))[0]
		if i < 4 {
			ledgertest.Applied(t, answer)
		} else {
			ledgertest.RejectedFor(t, answer, tasks.ExceedsRefundable)
		}
	}
	b.Accept(t, ledgertest.Refund("f5", "o1", "u1", "1.00"))
	book := tasks.BookOf("u1", b.Client.Books())
	var got []string
	for after := uuid.Nil; ; {
		page, err := b.Reader.OrderRefunds(t.Context(), ledger.OrderRefundsQuery{Book: book, OrderID: "o1", After: after, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		for _, refund := range page {
			got = append(got, fmt.Sprintf("%s %s %s %s %t", refund.Refund.RefundID, refund.Refund.Amount, refund.State, refund.Reason,
				refund.DecidedAt != nil))
			after = refund.ID
		}
		if len(page) < 4 {
			break
		}
	}
	want := []string{"f0 1.25 applied  true", "f1 1.25 applied  true", "f2 1.25 applied  true", "f3 1.25 applied  true",
		"f4 1.25 rejected exceeds_refundable true", "f5 1.00 accepted  false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refunds (-want +got):\n%s", diff)
	}
}

func TestOutcomesAreLookedUpTogether(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Recharge("r1", "u1", "1.00"), ledgertest.Transfer("t1", "u2", "u1", "1.00"),
		ledgertest.Recharge("r2", "u1", "1.00"))
	answers := b.Apply(t, receipts[:2]...)
	refs := make([]ledger.RequestRef, len(receipts))
	for i, receipt := range receipts {
		refs[i] = ledger.RequestRef{Book: receipt.Book, ID: receipt.ID}
	}
	found, err := b.Reader.Outcomes(t.Context(), refs)
	if err != nil || len(found) != 2 {
		t.Fatalf("found %+v, %v", found, err)
	}
	for i, answer := range answers {
		got := found[receipts[i].ID]
		if got.Result != answer.Outcome.Result || got.Reason != answer.Outcome.Reason || got.DecidedAt.IsZero() {
			t.Errorf("outcome %d is %+v, want %+v", i, got, answer.Outcome)
		}
	}
}
