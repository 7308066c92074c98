package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// The second half of a transfer is in the transaction of the first: between them the money is on its way, and nowhere lost.
func TestTransferToAnotherBookArrivesByAFollowUp(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	from, to := userIn(1, 0), userIn(3, 0)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", from, "10.00"), ledgertest.Transfer("t1", from, to, "7.00"))...)
	b.Expect(t, ledger.UserCash(from), "3.00")
	b.Expect(t, ledger.UserCash(to), "0.00")
	b.Expect(t, ledger.Interbook(3), "7.00")
	if n := count(t, b.DB, `SELECT count(*) FROM requests r JOIN outcomes o ON o.xmin = r.xmin JOIN requests parent ON parent.id = o.request_id
		WHERE r.kind = 'transfer:receive' AND r.producer = 'settled' AND parent.key = 't1'`); n != 1 {
		t.Errorf("%d follow-ups were stored with the outcome of their parent", n)
	}
	report, err := b.Reader.Audit(t.Context()) // with the money under way
	if err != nil || report.Err() != nil {
		t.Errorf("%v, %v", report.Err(), err)
	}
	b.Settle(t)
	b.Expect(t, ledger.UserCash(to), "7.00")
	b.Expect(t, ledger.Interbook(3), "7.00") // in book 1, what it owes book 3
	b.Expect(t, ledger.Interbook(1), "-7.00")
}

func TestTransfersThatCrossBetweenBooksNeitherDeadlockNorLoseMoney(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	var users []string
	for book := range 4 {
		users = append(users, userIn(book, 0), userIn(book, 1))
	}
	var payloads []tasks.Payload
	for _, user := range users {
		payloads = append(payloads, ledgertest.Recharge("r"+user, user, "100.00"))
	}
	ledgertest.Applied(t, b.Do(t, payloads...)...)
	var applying sync.WaitGroup
	for i := range users {
		applying.Go(func() {
			for j := range users {
				if i == j {
					continue
				}
				receipts := b.Accept(t, ledgertest.Transfer(fmt.Sprintf("t%d-%d", i, j), users[i], users[j], fmt.Sprintf("%d.00", 1+i)))
				if answers, err := b.Ledger.Apply(t.Context(), receipts[0].Book, receipts[0].ID); err != nil || answers[0].Outcome.Result != tasks.Applied {
					t.Errorf("%+v, %v", answers, err)
				}
			}
		})
	}
	applying.Wait()
	b.Settle(t)
	for i, user := range users {
		// Sent 7 times (1+i); received 36 - (1+i) from the others.
		b.Expect(t, ledger.UserCash(user), fmt.Sprintf("%d.00", 100-7*(1+i)+36-(1+i)))
	}
}

// A refund of a channel's leg stores the order to the channel, with its number, before anybody calls it (I10).
func TestOrderToAChannelIsStoredWithItsRefund(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "20.00"), ledgertest.Leg(tasks.SourceAlipay, "10.00")),
		ledgertest.Refund("rf1", "o1", "u1", "3.00"))...)
	if n := count(t, b.DB, `SELECT count(*) FROM requests s JOIN outcomes o ON o.xmin = s.xmin JOIN requests r ON r.id = o.request_id
		WHERE s.kind = 'refund:send' AND r.key = 'rf1'`); n != 2 {
		t.Errorf("%d orders to channels were stored with the refund, want 2", n)
	}
	if n := count(t, b.DB, "SELECT count(DISTINCT key) FROM requests WHERE kind = 'refund:send'"); n != 2 {
		t.Errorf("%d numbers, want 2", n)
	}
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "2.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceAlipay), "1.00")
}

// What a batch made due is rung at once, and left to the relay for a while; a ring that is lost is found by the relay.
func TestFollowUpsAreRungAndLaterDue(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var rung []tasks.Bell
	b := ledgertest.Open(t, withConfig(func(c *ledger.Config) {
		c.RingAfter = time.Hour
		c.Ring = func(bells []tasks.Bell) {
			mu.Lock()
			defer mu.Unlock()
			rung = append(rung, bells...)
		}
	}))
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", userIn(0, 0), "10.00"), ledgertest.Transfer("t1", userIn(0, 0), userIn(1, 0), "7.00"))...)
	var id uuid.UUID
	if err := b.DB.Pool.QueryRow(t.Context(), "SELECT id FROM requests WHERE kind = 'transfer:receive'").Scan(&id); err != nil {
		t.Fatal(err)
	}
	want := []tasks.Bell{{Kind: tasks.TransferReceive, Book: 1, ID: id}}
	if diff := cmp.Diff(want, rung); diff != "" {
		t.Errorf("rung (-want +got):\n%s", diff)
	}
	if due, err := b.Ledger.ClaimDue(t.Context(), 10); err != nil || len(due) != 0 {
		t.Errorf("due at once: %+v, %v", due, err)
	}
	if n, err := b.Ledger.MakeAllDue(t.Context()); err != nil || n != 1 {
		t.Errorf("made due: %d, %v", n, err)
	}
	if due, err := b.Ledger.ClaimDue(t.Context(), 10); err != nil || cmp.Diff(want, due) != "" {
		t.Errorf("due after all: %+v, %v", due, err)
	}
}

// A night goes on where it stopped, takes every user once, and leaves what they keep.
func TestNightOfManyPartsSweepsEveryUserOnce(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	policy := tasks.DefaultPolicy()
	policy.SweepUsersMax = 3
	if _, err := ledger.SetPolicy(t.Context(), b.DB.Pool, policy, "ada"); err != nil {
		t.Fatal(err)
	}
	var payloads []tasks.Payload
	for i := range 40 {
		user := fmt.Sprint("u", i)
		payloads = append(payloads, ledgertest.Recharge("r"+user, user, "10.00"), ledgertest.Enrolment("e"+user, user, fmt.Sprintf("%d.00", i)))
	}
	ledgertest.Applied(t, b.Apply(t, b.Accept(t, payloads...)...)...)
	for range 2 { // asked for twice
		b.Do(t, &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"})
		b.Settle(t)
	}
	for i := range 40 {
		user, cash, wealth := fmt.Sprint("u", i), "10.00", "0.00"
		if i < 10 {
			cash, wealth = fmt.Sprintf("%d.00", i), fmt.Sprintf("%d.00", 10-i)
		}
		b.Expect(t, ledger.UserCash(user), cash)
		b.Expect(t, ledger.UserWealth(user, "xiaojinku"), wealth)
	}
	if n := count(t, b.DB, "SELECT count(*) FROM subscriptions"); n != 10 {
		t.Errorf("%d subscriptions, want 10", n)
	}
	if n := count(t, b.DB, "SELECT count(*) FROM requests WHERE kind = 'sweep:chunk'"); n < 14 || n > 18 {
		t.Errorf("%d parts for 40 users in threes over 4 books", n)
	}
	// What came since is swept the next night, and not again this one.
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("late", "u0", "1.00"), &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"})...)
	b.Settle(t)
	b.Expect(t, ledger.UserCash("u0"), "1.00")
	ledgertest.Applied(t, b.Do(t, &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-03"})...)
	b.Settle(t)
	b.Expect(t, ledger.UserCash("u0"), "0.00")
}

// A channel that answers a refund twice moves its money once. An answer that contradicts the first one is recorded, and moves nothing.
func TestSecondAnswerOfAChannelMovesNothing(t *testing.T) {
	t.Parallel()
	for _, first := range []tasks.RefundEnd{tasks.RefundSucceeded, tasks.RefundFailed} {
		b := ledgertest.Open(t)
		ledgertest.Applied(t, b.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "20.00")),
			ledgertest.Refund("rf1", "o1", "u1", "6.00"))...)
		b.Settle(t)
		answer := answerTo(t, b.DB, "rf1")
		answer.Result = first
		ledgertest.Applied(t, b.Do(t, answer, answer)...)
		refunding, clearing := b.Balance(t, ledger.ChannelRefunding(tasks.SourceWeChat)), b.Balance(t, ledger.ChannelClearing(tasks.SourceWeChat))
		other := *answer
		other.Result = tasks.RefundSucceeded
		if first == tasks.RefundSucceeded {
			other.Result = tasks.RefundFailed
		}
		receipt := b.Accept(t, &other)[0]
		if receipt.Status != tasks.Conflicting {
			t.Errorf("after %s, %s is %s", first, other.Result, receipt.Status)
		}
		ledgertest.Applied(t, b.Apply(t, receipt)...)
		b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), refunding.String())
		b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), clearing.String())
		want := "0.00"
		if first == tasks.RefundFailed { // without consent the money waits for a person
			want = "6.00"
			if n := count(t, b.DB, "SELECT count(*) FROM cases WHERE amount_fen = 600"); n != 1 {
				t.Errorf("%d cases ask a person, want 1", n)
			}
		}
		b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), want)
	}
}
