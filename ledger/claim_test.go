package ledger_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestRequestThatGoesBackToPendingKeepsItsAgeAndItsStarts(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Refund("rf1", "o1", "u1", "4.00"))[0]
	if _, err := b.Ledger.Suspect(t.Context(), tasks.Ring{Kind: receipt.Kind, Book: receipt.Book, IDs: []uuid.UUID{receipt.ID}}); err != nil {
		t.Fatal(err)
	}
	b.Apply(t, receipt)
	var state string
	var attempts int
	var asked, kept time.Time
	if err := b.DB.Owner.QueryRow(t.Context(), `SELECT p.state, p.attempts, r.accepted_at, p.accepted_at
		FROM pending p JOIN requests r ON r.id = p.request_id`).Scan(&state, &attempts, &asked, &kept); err != nil {
		t.Fatal(err)
	}
	if state != ledger.StateParked || attempts != 1 || !asked.Equal(kept) {
		t.Errorf("it is %s after %d starts, accepted at %s; want it parked, 1, %s", state, attempts, kept, asked)
	}
	b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"), ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "10.00")))
	b.Settle(t)
	record, err := b.Reader.Record(t.Context(), tasks.RefundApply, "rf1")
	if err != nil || record.Outcome == nil || record.Outcome.Result != tasks.Applied || record.Outcome.Attempts != 1 {
		t.Errorf("record is %+v, %v; want it applied after the start that was counted", record, err)
	}
}

func TestBatchLeavesAloneWhatIsDecidedOrDead(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"), ledgertest.Reward("w2", "u1", "2.00"), ledgertest.Reward("w3", "u1", "4.00"))
	ledgertest.Applied(t, b.Apply(t, receipts[0])...)
	if err := b.Ledger.Bury(t.Context(), receipts[1].Book, receipts[1].ID, "nobody knows"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the third is decided by the first round
		answers := b.Apply(t, receipts...)
		ledgertest.Applied(t, answers[0], answers[2])
		if !answers[0].Replay || answers[1].Fate != ledger.Dead {
			t.Errorf("answers are %+v, want a replay and a dead one", answers[:2])
		}
	}
	b.Expect(t, ledger.UserReward("u1"), "5.00")
	record, err := b.Reader.Record(t.Context(), tasks.RewardGrant, "w2")
	if err != nil || record.State != ledger.StateDead || record.LastError != "nobody knows" {
		t.Errorf("record is %+v, %v; want it dead as it was", record, err)
	}
}

// It stands for a row that somebody removed by hand: the audit names it, and until then nobody is told that it is done.
func TestRequestThatIsNeitherPendingNorDecidedIsNotAnswered(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"), ledgertest.Reward("w2", "u1", "2.00"))
	if _, err := b.DB.Owner.Exec(t.Context(), "DELETE FROM pending WHERE request_id = $1", receipts[0].ID); err != nil {
		t.Fatal(err)
	}
	answers := b.Apply(t, receipts...)
	ledgertest.Applied(t, answers[1])
	if answers[0].Fate != "" {
		t.Errorf("answer is %+v, want none", answers[0])
	}
	if _, err := b.DB.Owner.Exec(t.Context(), `INSERT INTO pending (book, request_id, kind, ring_at)
		SELECT book, id, kind, clock_timestamp() FROM requests WHERE key = 'w1'`); err != nil {
		t.Fatal(err) // or the audit would rightly complain
	}
	ledgertest.Applied(t, b.Apply(t, receipts[0])...)
}

// A batch claims its requests, and a worker counts starts of the same ones, in one order, whatever order they are handed in: neither holds
// what the other waits for.
func TestStartsAreCountedBesideABatchWithoutADeadlock(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b := ledgertest.Open(t, func(c *ledger.Config) { c.Registerer = registry })
	receipts := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"), ledgertest.Reward("w2", "u1", "2.00"), ledgertest.Reward("w3", "u1", "4.00"))
	slices.SortFunc(receipts, func(x, y tasks.Receipt) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	book, first, middle, last := receipts[0].Book, receipts[0].ID, receipts[1].ID, receipts[2].ID
	tx, err := b.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM pending WHERE request_id = $1 FOR UPDATE", middle); err != nil {
		t.Fatal(err)
	}
	applied, counted := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.Ledger.Apply(t.Context(), book, last, middle, first)
		applied <- err
	}()
	blocked(t, b.DB, 1)
	go func() {
		_, err := b.Ledger.Suspect(t.Context(), tasks.Ring{Kind: tasks.RewardGrant, Book: book, IDs: []uuid.UUID{first, last}})
		counted <- err
	}()
	blocked(t, b.DB, 2)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-applied, <-counted); err != nil {
		t.Error(err)
	}
	if got := counterOf(t, registry, "settled_ledger_batch_repeats_total"); got != 0 {
		t.Errorf("the batch was run again %d times", got)
	}
	b.Expect(t, ledger.UserReward("u1"), "7.00")
}
