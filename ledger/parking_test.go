package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// permutations of 0 to n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return all
}

// applyInOrder applies requests in an order of their places, in one batch or in one each, and then what that made due.
func applyInOrder(t *testing.T, b *ledgertest.Books, receipts []tasks.Receipt, order []int, together bool) {
	t.Helper()
	var asked []tasks.Receipt
	for _, place := range order {
		asked = append(asked, receipts[place])
	}
	if together {
		b.Apply(t, asked...)
	} else {
		for _, receipt := range asked {
			b.Apply(t, receipt)
		}
	}
	b.Settle(t)
}

// Whatever comes first, and whether together or one by one, the end is the same.
func TestRefundAndPaymentConvergeInEveryOrder(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	for i, order := range permutations(4) {
		for _, together := range []bool{true, false} {
			name := fmt.Sprintf("%d-%t", i, together)
			user, orderID := "u"+name, "o"+name
			ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r"+name, user, "50.00"))...)
			payment := ledgertest.Payment(orderID, user, ledgertest.Leg(tasks.SourceCash, "40.00"))
			payment.MerchantID = "m" + name
			receipts := b.Accept(t, payment, ledgertest.Refund("a"+name, orderID, user, "15.00"),
				ledgertest.Refund("b"+name, orderID, user, "25.00"), ledgertest.Refund("c"+name, orderID, user, "0.01"))
			applyInOrder(t, b, receipts, order, together)
			// The last of the three refunds finds one of them too many; which one, the order decides.
			refused, refunded := 0, 0
			for _, answer := range b.Apply(t, receipts[1:]...) {
				if answer.Outcome.Result == tasks.Rejected {
					ledgertest.RejectedFor(t, answer, tasks.ExceedsRefundable)
					refused++
				} else {
					refunded++
				}
			}
			if refunded+refused != 3 || refused != 1 {
				t.Errorf("%s: %d refunds are applied and %d refused", name, refunded, refused)
			}
			cash, owed := b.Balance(t, ledger.UserCash(user)), b.Balance(t, ledger.MerchantPayable("m"+name))
			if cash.Add(owed) != ledgertest.Yuan("50.00") {
				t.Errorf("%s: the user has %s, the merchant %s", name, cash, owed)
			}
		}
	}
}

func TestRefundBeforeItsPaymentIsParkedAndWokenInOneBatch(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"))...)
	receipts := b.Accept(t, ledgertest.Refund("rf1", "o1", "u1", "4.00"),
		ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "10.00")))
	if diff := cmp.Diff([]ledger.Fate{ledger.Parked, ledger.Decided}, fates(b.Apply(t, receipts...))); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
	b.Settle(t) // the batch that captured the payment rings for the refund
	b.Expect(t, ledger.UserCash("u1"), "4.00")
	record, err := b.Reader.Record(t.Context(), tasks.RefundApply, "rf1")
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

func TestParkedRequestThatIsRungAgainStaysParkedAndIsToldOnce(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Refund("rf1", "o1", "u1", "4.00"))[0]
	for range 3 {
		if got := b.Apply(t, receipt)[0]; got.Fate != ledger.Parked {
			t.Fatalf("answer is %+v", got)
		}
	}
	if n := count(t, b.DB, "SELECT count(*) FROM attempts WHERE event = 'parked'"); n != 1 {
		t.Errorf("the timeline tells %d times that the refund is parked", n)
	}
	if due, err := b.Ledger.ClaimDue(t.Context(), 10); err != nil || len(due) != 0 {
		t.Errorf("a parked request is due: %+v, %v", due, err)
	}
	record, err := b.Reader.Record(t.Context(), tasks.RefundApply, "rf1")
	if err != nil || record.State != "parked" || record.WaitsFor != "payment:capture/o1" {
		t.Errorf("record is %+v, %v", record, err)
	}
}

// The order says whose money it is, in whichever book the named user lives.
func TestRefundOfAnotherUsersOrderNeverMovesMoney(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	owner, sameBook, otherBook := userIn(1, 0), userIn(1, 1), userIn(2, 0)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", owner, "10.00"),
		ledgertest.Payment("o1", owner, ledgertest.Leg(tasks.SourceCash, "10.00")))...)
	for _, answer := range b.Do(t, ledgertest.Refund("rf1", "o1", sameBook, "10.00"), ledgertest.Refund("rf2", "o1", otherBook, "10.00")) {
		ledgertest.RejectedFor(t, answer, tasks.OrderOfAnotherUser)
	}
	for _, user := range []string{owner, sameBook, otherBook} {
		b.Expect(t, ledger.UserCash(user), "0.00")
	}
	b.Expect(t, ledger.MerchantPayable("m1"), "10.00")
}

// A payment's key is asked of one book only, so it need not be decided for a refund in another book to be hopeless.
func TestRefundOfAnotherBooksUndecidedPaymentIsRejected(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	payment := ledgertest.Payment("o1", userIn(1, 0), ledgertest.Leg(tasks.SourceCash, "10.00"))
	receipts := b.Accept(t, payment, ledgertest.Refund("rf1", "o1", userIn(2, 0), "1.00"),
		ledgertest.Refund("rf2", "o1", userIn(2, 1), "1.00"), ledgertest.Refund("rf3", "o2", userIn(2, 0), "1.00"))
	answers := b.Apply(t, receipts[1:]...)
	ledgertest.RejectedFor(t, answers[0], tasks.OrderOfAnotherUser)
	ledgertest.RejectedFor(t, answers[1], tasks.OrderOfAnotherUser)
	if answers[2].Fate != ledger.Parked {
		t.Errorf("a refund whose payment was not asked for is %+v, want parked", answers[2])
	}
}

func TestRefundThatCameBeforeAnotherBooksPaymentIsWokenAndRejected(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	owner, stranger := userIn(1, 0), userIn(2, 0)
	early := b.Accept(t, ledgertest.Refund("rf1", "o1", stranger, "1.00"), ledgertest.Refund("rf2", "o1", owner, "1.00"),
		ledgertest.Refund("rf3", "o2", stranger, "1.00"))
	if diff := cmp.Diff([]ledger.Fate{ledger.Parked, ledger.Parked, ledger.Parked}, fates(b.Apply(t, early...))); diff != "" {
		t.Fatalf("fates (-want +got):\n%s", diff)
	}
	if n, _, err := b.Ledger.WakeStranded(t.Context(), ledger.ParkedRef{}, 10); n != 0 || err != nil {
		t.Fatalf("%d woken before any payment, %v", n, err)
	}
	b.Accept(t, ledgertest.Payment("o1", owner, ledgertest.Leg(tasks.SourceCash, "10.00")))
	if n, _, err := b.Ledger.WakeStranded(t.Context(), ledger.ParkedRef{}, 10); n != 1 || err != nil {
		t.Fatalf("%d woken, want the stranger's refund alone, %v", n, err)
	}
	due, err := b.Ledger.ClaimDue(t.Context(), 10)
	if err != nil || len(due) != 1 || due[0].ID != early[0].ID {
		t.Fatalf("due are %+v, %v", due, err)
	}
	ledgertest.RejectedFor(t, b.Apply(t, early[0])[0], tasks.OrderOfAnotherUser)
	if n, _, err := b.Ledger.WakeStranded(t.Context(), ledger.ParkedRef{}, 10); n != 0 || err != nil {
		t.Errorf("%d woken again, %v", n, err)
	}
}

// However many are parked, a look costs no more than its limit, and the looks together come to all of them.
func TestParkedRequestsAreLookedAtAFewAtATime(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	owner, stranger := userIn(1, 0), userIn(2, 0)
	var early []tasks.Receipt
	for i := range 7 {
		early = append(early, b.Accept(t, ledgertest.Refund(fmt.Sprint("rf", i), fmt.Sprint("o", i), stranger, "1.00"))...)
	}
	b.Apply(t, early...) // parked at the same time
	b.Accept(t, ledgertest.Payment("o3", owner, ledgertest.Leg(tasks.SourceCash, "10.00")),
		ledgertest.Payment("o6", owner, ledgertest.Leg(tasks.SourceCash, "10.00")))
	woken := []int64{}
	var after ledger.ParkedRef
	for {
		n, next, err := b.Ledger.WakeStranded(t.Context(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if after = next; next == (ledger.ParkedRef{}) {
			break
		}
		woken = append(woken, n)
	}
	if diff := cmp.Diff([]int64{0, 1, 1}, woken); diff != "" {
		t.Errorf("woken by each look (-want +got):\n%s", diff)
	}
}

// Whatever comes first, and whether together or one by one: a payment that is rejected takes its refunds with it.
func TestRefundOfARejectedPaymentIsRejectedInEveryOrder(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	for i, order := range permutations(3) {
		for _, together := range []bool{true, false} {
			name := fmt.Sprintf("%d-%t", i, together)
			receipts := b.Accept(t, ledgertest.Payment("o"+name, "u"+name, ledgertest.Leg(tasks.SourceCash, "10.00")),
				ledgertest.Refund("a"+name, "o"+name, "u"+name, "4.00"), ledgertest.Refund("b"+name, "o"+name, "u"+name, "6.00"))
			applyInOrder(t, b, receipts, order, together)
			answers := b.Apply(t, receipts...)
			ledgertest.RejectedFor(t, answers[0], tasks.NoAccount)
			ledgertest.RejectedFor(t, answers[1], tasks.PaymentRejected)
			ledgertest.RejectedFor(t, answers[2], tasks.PaymentRejected)
		}
	}
}

func TestRefundWhosePaymentNeverComesWaitsForAPerson(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Refund("rf1", "o1", "u1", "4.00"))[0]
	b.Apply(t, receipt)
	if n, err := b.Ledger.BuryUnwoken(t.Context(), time.Hour, 10); n != 0 || err != nil {
		t.Fatalf("%d buried too early, %v", n, err)
	}
	if n, err := b.Ledger.BuryUnwoken(t.Context(), 0, 10); n != 1 || err != nil {
		t.Fatalf("%d buried, %v", n, err)
	}
	if got := b.Apply(t, receipt)[0]; got.Fate != ledger.Dead {
		t.Errorf("answer is %+v, want dead", got)
	}
	dead, err := b.Reader.Dead(t.Context(), 10)
	if err != nil || len(dead) != 1 || dead[0].Key != "rf1" || dead[0].LastError != "waited too long for payment:capture/o1" {
		t.Fatalf("dead are %+v, %v", dead, err)
	}
	// The payment comes after all: the person lets the refund run again.
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"),
		ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "10.00")))...)
	b.Settle(t)
	b.Expect(t, ledger.UserCash("u1"), "0.00")
	if err := b.Ledger.Requeue(t.Context(), tasks.RefundApply, "rf1", "ada"); err != nil {
		t.Fatal(err)
	}
	b.Settle(t)
	b.Expect(t, ledger.UserCash("u1"), "4.00")
}

// What waits is judged by since when it waits: a request may be older than that, by an outage or by a person's decision.
func TestWaitOfAParkedRequestBeginsWhenItIsParked(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	own := func(sql string) {
		t.Helper()
		if _, err := b.DB.Owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	buries := func(what string, want int64) {
		t.Helper()
		if n, err := b.Ledger.BuryUnwoken(t.Context(), 72*time.Hour, 10); n != want || err != nil {
			t.Errorf("%s: %d are buried, %v; want %d", what, n, err, want)
		}
	}
	receipt := b.Accept(t, ledgertest.Refund("rf1", "o1", "u1", "4.00"))[0]
	own(`BEGIN; SET LOCAL session_replication_role = replica; UPDATE requests SET accepted_at = accepted_at - interval '100 hours';
		UPDATE pending SET accepted_at = accepted_at - interval '100 hours'; COMMIT`)
	b.Apply(t, receipt)
	buries("parked after an outage", 0)
	own("UPDATE pending SET parked_at = parked_at - interval '73 hours'")
	b.Apply(t, receipt) // rung while it waits: that does not begin its wait anew
	buries("parked for 73 hours", 1)
	buries("dead", 0)
	if err := b.Ledger.Requeue(t.Context(), tasks.RefundApply, "rf1", "ada"); err != nil {
		t.Fatal(err)
	}
	if got := b.Apply(t, receipt)[0]; got.Fate != ledger.Parked {
		t.Fatalf("answer is %+v, want parked", got)
	}
	buries("parked again after a person requeued it", 0)
}

// A look after a long outage of others has many to bury, and must not hold them all in one transaction.
func TestBurialsOfALookAreBoundedAndTheLongestWaitComesFirst(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	for i := range 3 {
		b.Apply(t, b.Accept(t, ledgertest.Refund(fmt.Sprint("rf", i), "none", "u1", "1.00"))[0])
	}
	for i, want := range []int64{2, 1, 0} {
		if n, err := b.Ledger.BuryUnwoken(t.Context(), 0, 2); n != want || err != nil {
			t.Fatalf("look %d buried %d, %v; want %d", i, n, err, want)
		}
		if left := count(t, b.DB, "SELECT count(*) FROM pending p JOIN requests r ON r.id = p.request_id WHERE p.state = 'parked' AND r.key = 'rf2'"); i == 0 && left != 1 {
			t.Error("the youngest was buried before an older one")
		}
	}
}
