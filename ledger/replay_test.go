package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestReplayReturnsTheStoredOutcomeAndMovesNothing(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"), ledgertest.Transfer("t1", "u1", "u2", "99.00"))
	first := b.Apply(t, receipts...)
	ledgertest.Applied(t, first[0])
	ledgertest.RejectedFor(t, first[1], tasks.InsufficientFunds)
	for range 3 {
		for i, again := range b.Apply(t, receipts...) {
			if !again.Replay {
				t.Errorf("answer %+v is not a replay", again)
			}
			if diff := cmp.Diff(first[i].Outcome, again.Outcome); diff != "" {
				t.Errorf("outcome (-first +again):\n%s", diff)
			}
		}
	}
	b.Expect(t, ledger.UserCash("u1"), "10.00")
}

// A refusal is final: the money that comes later does not turn it.
func TestRejectionStandsAlthoughTheReasonIsGone(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	refused := b.Accept(t, ledgertest.Transfer("t1", "u1", "u2", "10.00"))
	ledgertest.RejectedFor(t, b.Apply(t, refused...)[0], tasks.NoAccount)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"))...)
	ledgertest.RejectedFor(t, b.Apply(t, refused...)[0], tasks.NoAccount)
	b.Expect(t, ledger.UserCash("u1"), "10.00")
}

func TestSameKeyWithAnotherAmountIsRecordedAndMovesNothing(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	first := b.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"))[0]
	other := b.Accept(t, ledgertest.Recharge("r1", "u1", "1000.00"))[0]
	want := tasks.Receipt{ID: first.ID, Book: first.Book, Kind: first.Kind, Key: "r1", Status: tasks.Conflicting,
		Fields: []tasks.Diff{{Field: "amount", Stored: `"10.00"`, Asked: `"1000.00"`}}, Producer: first.Producer}
	if diff := cmp.Diff(want, other); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
	ledgertest.Applied(t, b.Apply(t, first, other)...)
	b.Expect(t, ledger.UserCash("u1"), "10.00")
	record, err := b.Reader.Record(t.Context(), tasks.RechargeConfirm, "r1")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(record.Timeline, func(e ledger.Event) bool { return e.Event == "conflict" }) {
		t.Errorf("the timeline does not tell of the conflict: %+v", record.Timeline)
	}
}

func TestUnknownIDsAreAnsweredAndBlockNobody(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"))[0]
	answers, err := b.Ledger.Apply(t.Context(), receipt.Book, uuid.New(), receipt.ID, uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ledger.Fate{ledger.NotStored, ledger.Decided, ledger.NotStored}, fates(answers)); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
}

// Redis says which book a request is in. It is not believed.
func TestRequestIsNotFoundInAnotherBook(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"))[0]
	for _, book := range []int{-1, (receipt.Book + 1) % 4, 4, 1 << 40} {
		answers, err := b.Ledger.Apply(t.Context(), book, receipt.ID, receipt.ID)
		if err != nil || answers[0].Fate != ledger.NotStored || answers[1].Fate != ledger.NotStored {
			t.Errorf("book %d: %+v, %v", book, answers, err)
		}
	}
	b.Expect(t, ledger.UserCash("u1"), "0.00")
	ledgertest.Applied(t, b.Apply(t, receipt)...)
}

func TestOneIDManyTimesInOneCallIsAppliedOnce(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"))[0]
	ids := slices.Repeat([]uuid.UUID{receipt.ID}, 20)
	answers, err := b.Ledger.Apply(t.Context(), receipt.Book, ids...)
	if err != nil {
		t.Fatal(err)
	}
	ledgertest.Applied(t, answers...)
	b.Expect(t, ledger.UserCash("u1"), "10.00")
}

func TestNothingToApplyIsNoError(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	if answers, err := b.Ledger.Apply(t.Context(), 0); err != nil || len(answers) != 0 {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestKindWithoutARuleIsLeftToAnotherVersion(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	old := ledgertest.OpenOn(t, db, ledgertest.WithRules(rulesWith()[:1]...))
	receipts := old.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"), ledgertest.Reward("w1", "u1", "1.00"))
	if diff := cmp.Diff([]ledger.Fate{ledger.Decided, ledger.Deferred}, fates(old.Apply(t, receipts...))); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
	ledgertest.Applied(t, ledgertest.OpenOn(t, db).Apply(t, receipts...)...)
}

// Two workers are told of the same requests at the same moment, again and again: the ledger of each applies them, and both answer
// the one outcome.
func TestTwoLedgersGivenTheSameRequestsApplyThemOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.MaxConns(12))
	books := []*ledgertest.Books{ledgertest.OpenOn(t, db), ledgertest.OpenOn(t, db)}
	const users, each = 8, 25
	var payloads []tasks.Payload
	for i := range users * each {
		payloads = append(payloads, ledgertest.Recharge(fmt.Sprint("r", i), fmt.Sprint("u", i%users), "1.00"))
	}
	receipts := books[0].Accept(t, payloads...)
	answers := make([][]ledger.Answer, 4)
	var applying sync.WaitGroup
	for i := range answers {
		applying.Go(func() {
			for _, receipt := range receipts {
				got, err := books[i%2].Ledger.Apply(t.Context(), receipt.Book, receipt.ID)
				if err != nil {
					t.Error(err)
					return
				}
				answers[i] = append(answers[i], got...)
			}
		})
	}
	applying.Wait()
	if t.Failed() {
		return
	}
	for n := range receipts {
		fresh := 0
		for i := range answers {
			if diff := cmp.Diff(answers[0][n].Outcome, answers[i][n].Outcome); diff != "" {
				t.Fatalf("%s has two outcomes:\n%s", receipts[n].Key, diff)
			}
			if !answers[i][n].Replay {
				fresh++
			}
		}
		if fresh == 0 {
			t.Errorf("%s was applied by nobody", receipts[n].Key)
		}
	}
	for user := range users {
		books[0].Expect(t, ledger.UserCash(fmt.Sprint("u", user)), "25.00")
	}
}

// What was written before a context ended is there, what was not is not, and nothing comes later.
func TestNothingIsWrittenAfterTheCallerGaveUp(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipts := b.Accept(t, ledgertest.Recharge("r1", "u1", "10.00"), ledgertest.Recharge("r2", "u1", "20.00"))
	tx, err := b.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "SELECT FROM books WHERE book = $1 FOR UPDATE", receipts[0].Book); err != nil {
		t.Fatal(err)
	}
	// The first is in a running batch, which is waited for; the second waits in the lane, and is withdrawn.
	running, cancelRunning := context.WithCancel(t.Context())
	waiting, cancelWaiting := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.Ledger.Apply(running, receipts[0].Book, receipts[0].ID)
		done <- err
	}()
	blocked(t, b.DB, 1)
	withdrawn := make(chan error, 1)
	go func() {
		_, err := b.Ledger.Apply(waiting, receipts[1].Book, receipts[1].ID)
		withdrawn <- err
	}()
	cancelWaiting()
	if err := <-withdrawn; err == nil {
		t.Error("a withdrawn request has an answer")
	}
	cancelRunning()
	select {
	case err := <-done:
		t.Fatalf("the caller of a running batch was sent away: %v", err)
	default:
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the batch ran, and its caller is told: %v", err)
	}
	b.Expect(t, ledger.UserCash("u1"), "10.00")
	ledgertest.Applied(t, b.Apply(t, receipts...)...)
	b.Expect(t, ledger.UserCash("u1"), "30.00")
}

// A producer may ask under one key for ever; the answer stays small and says how much there is. The outcome stands where it came.
func TestTimelineIsByTimeAndKeepsTheNewestBesideAcceptanceAndOutcome(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	receipt := b.Accept(t, ledgertest.Reward("w1", "u1", "1.00"))[0]
	conflict := func(amount string) {
		t.Helper()
		if _, err := b.Client.Enqueue(t.Context(), ledgertest.Reward("w1", "u1", amount)); err == nil {
			t.Fatal("another amount was accepted under the same key")
		}
	}
	read := func() ledger.Record {
		t.Helper()
		record, err := b.Reader.Record(t.Context(), tasks.RewardGrant, "w1")
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	conflict("2.00")
	ledgertest.Applied(t, b.Apply(t, receipt)...)
	conflict("3.00")
	record := read()
	var events []string
	for _, event := range record.Timeline {
		events = append(events, event.Event)
		if event.Outcome != (event.Event == "applied") {
			t.Errorf("%+v: is it the outcome?", event)
		}
	}
	if got := strings.Join(events, " "); got != "accepted conflict applied conflict" || record.Events != 4 {
		t.Errorf("timeline is %s of %d", got, record.Events)
	}
	if _, err := b.DB.Owner.Exec(t.Context(), `INSERT INTO conflicts (book, request_id, producer, fields)
		SELECT $1, $2, 'test', '[]' FROM generate_series(1, 300)`, receipt.Book, receipt.ID); err != nil {
		t.Fatal(err)
	}
	record = read()
	if len(record.Timeline) != 202 || record.Events != 304 || record.Timeline[0].Event != "accepted" || !record.Timeline[1].Outcome {
		t.Errorf("%d of %d events, first %+v", len(record.Timeline), record.Events, record.Timeline[:2])
	}
}
