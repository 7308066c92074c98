package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// Several relays look at once: each due request is claimed by one of them, and by none a second time soon.
func TestEachDueRequestIsClaimedByOneRelay(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	var payloads []tasks.Payload
	for i := range 500 {
		payloads = append(payloads, ledgertest.Reward(fmt.Sprint("w", i), fmt.Sprint("u", i), "1.00"))
	}
	receipts := b.Accept(t, payloads...)
	if due, err := b.Ledger.ClaimDue(t.Context(), 10); err != nil || len(due) != 0 {
		t.Fatalf("fresh requests are left to their own ring: %+v, %v", due, err)
	}
	if n, err := b.Ledger.MakeAllDue(t.Context()); err != nil || n != 500 {
		t.Fatalf("made due: %d, %v", n, err)
	}
	var mu sync.Mutex
	claimed := map[uuid.UUID]int{}
	var claiming sync.WaitGroup
	for range 6 {
		claiming.Go(func() {
			for {
				bells, err := b.Ledger.ClaimDue(t.Context(), 37)
				if err != nil {
					t.Error(err)
					return
				}
				if len(bells) == 0 {
					return
				}
				mu.Lock()
				for _, bell := range bells {
					claimed[bell.ID]++
				}
				mu.Unlock()
			}
		})
	}
	claiming.Wait()
	want := map[uuid.UUID]int{}
	for _, receipt := range receipts {
		want[receipt.ID] = 1
	}
	if !maps.Equal(claimed, want) {
		t.Errorf("%d requests were claimed, want each of 500 once", len(claimed))
	}
	ledgertest.Applied(t, b.Apply(t, receipts...)...)
}

// The next ring comes after 30 s, then twice as long each time, up to ten minutes.
func TestAClaimIsGivenBackWhenItsRingFailed(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"), ledgertest.Reward("w2", "u2", "1.00"))
	if n, err := b.Ledger.MakeAllDue(t.Context()); err != nil || n != 2 {
		t.Fatalf("made due: %d, %v", n, err)
	}
	claimed, err := b.Ledger.ClaimDue(t.Context(), 10)
	if err != nil || len(claimed) != 2 {
		t.Fatalf("claimed %+v, %v", claimed, err)
	}
	if again, err := b.Ledger.ClaimDue(t.Context(), 10); err != nil || len(again) != 0 {
		t.Fatalf("claimed twice: %+v, %v", again, err)
	}
	ledgertest.Applied(t, b.Apply(t, receipts[0])...) // it is not pending any more, and stays so
	if err := b.Ledger.MakeDue(t.Context(), claimed); err != nil {
		t.Fatal(err)
	}
	again, err := b.Ledger.ClaimDue(t.Context(), 10)
	if err != nil || len(again) != 1 || again[0].ID != receipts[1].ID {
		t.Errorf("claimed %+v, %v; want the undecided one", again, err)
	}
}

func TestRingsOfARequestBecomeRarer(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	for i, want := range []int{30, 60, 120, 240, 480, 600, 600, 600} {
		if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE pending SET ring_at = clock_timestamp()"); err != nil {
			t.Fatal(err)
		}
		if due, err := b.Ledger.ClaimDue(t.Context(), 10); err != nil || len(due) != 1 {
			t.Fatalf("%+v, %v", due, err)
		}
		got := count(t, b.DB, "SELECT round(extract(epoch FROM ring_at - clock_timestamp())) FROM pending")
		if got < want-10 || got > want {
			t.Errorf("ring %d is followed by another in %d s, want %d", i+1, got, want)
		}
	}
	ledgertest.Applied(t, b.Apply(t, receipt)...)
}

func TestStartsOfSuspectsAreCounted(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"), ledgertest.Reward("w2", "u1", "1.00"), ledgertest.Refund("rf1", "o1", "u1", "1.00"))
	b.Apply(t, receipts[2]) // parked: nothing is wrong with it
	ids := []uuid.UUID{receipts[0].ID, receipts[1].ID, receipts[2].ID, uuid.New()}
	ring := tasks.Ring{Kind: tasks.RewardGrant, Book: receipts[0].Book, IDs: ids}
	for n := 1; n <= 3; n++ {
		starts, err := b.Ledger.Suspect(t.Context(), ring)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[uuid.UUID]int{ids[0]: n, ids[1]: n}, starts); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	}
	if got := b.Apply(t, receipts[0])[0]; got.Outcome.Attempts != 3 {
		t.Errorf("outcome is %+v, want 3 attempts told", got.Outcome)
	}
	starts, err := b.Ledger.Suspect(t.Context(), ring)
	if err != nil || len(starts) != 1 || starts[ids[1]] != 4 {
		t.Errorf("starts are %v, %v, want only the pending one", starts, err)
	}
}

func TestBacklogCountsWhatIsOutstanding(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"), ledgertest.Reward("w2", "u2", "1.00"), ledgertest.Reward("w3", "u3", "1.00"),
		ledgertest.Refund("rf1", "o1", "u1", "1.00"))
	b.Apply(t, receipts[2], receipts[3])
	if err := b.Ledger.Bury(t.Context(), receipts[1].Book, receipts[1].ID, "broken"); err != nil {
		t.Fatal(err)
	}
	backlog, err := b.Ledger.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range backlog {
		if backlog[i].OldestAge < 0 || backlog[i].OldestAge > time.Minute {
			t.Errorf("%+v", backlog[i])
		}
		backlog[i].OldestAge = 0
	}
	want := []ledger.Backlog{{Kind: tasks.RefundApply, State: "parked", Requests: 1}, {Kind: tasks.RewardGrant, State: "accepted", Requests: 1},
		{Kind: tasks.RewardGrant, State: "dead", Requests: 1}}
	if diff := cmp.Diff(want, backlog); diff != "" {
		t.Errorf("backlog (-want +got):\n%s", diff)
	}
}

func TestPayloadOfAStoredRequestIsLoaded(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	want := ledgertest.Reward("w1", "u1", "1.00")
	receipt := b.Accept(t, want)[0]
	got, err := b.Ledger.LoadPayload(t.Context(), receipt.Book, receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tasks.Payload(want), got, sameAmounts); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if _, err := b.Ledger.LoadPayload(t.Context(), receipt.Book, uuid.New()); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("error is %v, want ErrNotFound", err)
	}
}

// A transaction with the earlier id commits after the relay has passed. A relay that remembers where it was would miss it.
func TestRequestThatIsCommittedLateIsClaimedAllTheSame(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	tx, err := b.DB.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	early, err := b.Client.EnqueueTx(t.Context(), tx, ledgertest.Reward("early", "u1", "1.00"))
	if err != nil {
		t.Fatal(err)
	}
	late := b.Accept(t, ledgertest.Reward("late", "u1", "1.00"))
	claim := func() []tasks.Bell {
		if _, err := b.Ledger.MakeAllDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		bells, err := b.Ledger.ClaimDue(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		return bells
	}
	if bells := claim(); len(bells) != 1 || bells[0].ID != late[0].ID {
		t.Errorf("claimed %+v, want the one that is committed", bells)
	}
	ledgertest.Applied(t, b.Apply(t, late...)...)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bells := claim(); len(bells) != 1 || bells[0].ID != early[0].ID {
		t.Errorf("claimed %+v, want the one that was late", bells)
	}
	ledgertest.Applied(t, b.Apply(t, early...)...)
}

// Asynq's archive forgets beyond 10,000. Dead requests are in PostgreSQL, all of them.
func TestEveryDeadRequestIsListed(t *testing.T) {
	t.Parallel()
	const dead = 10_001
	b := ledgertest.Open(t)
	payloads := make([]tasks.Payload, dead)
	for i := range payloads {
		payloads[i] = ledgertest.Reward(fmt.Sprint("w", i), "u1", "1.00")
	}
	b.Accept(t, payloads...)
	if _, err := b.DB.Owner.Exec(t.Context(), "UPDATE pending SET state = 'dead', last_error = 'broken'"); err != nil {
		t.Fatal(err)
	}
	letters, err := b.Reader.Dead(t.Context(), dead+1)
	if err != nil || len(letters) != dead {
		t.Fatalf("%d of %d dead requests are listed, %v", len(letters), dead, err)
	}
	if letters, err = b.Reader.Dead(t.Context(), 3); err != nil || len(letters) != 3 || letters[0].Key == "" {
		t.Errorf("%+v, %v", letters, err)
	}
}
