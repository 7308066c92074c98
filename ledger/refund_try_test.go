package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// ended is a channel's answer to a number of a refund, which must have been sent.
func ended(t *testing.T, b *ledgertest.Books, number string, end tasks.RefundEnd) *tasks.RefundResult {
	t.Helper()
	var raw []byte
	if err := b.DB.Pool.QueryRow(t.Context(), "SELECT payload FROM requests WHERE kind = 'refund:send' AND key = $1", number).Scan(&raw); err != nil {
		t.Fatalf("what was sent under %s: %v", number, err)
	}
	payload, err := tasks.DecodePayload(tasks.RefundSend, raw)
	if err != nil {
		t.Fatal(err)
	}
	order := payload.(*tasks.RefundOrder)
	return &tasks.RefundResult{Number: order.Number, RefundID: order.RefundID, UserID: order.UserID, Channel: order.Channel,
		Amount: order.Amount, Result: end, OccurredAt: ledgertest.Noon}
}

// late is the revision of a number's failure.
func late(t *testing.T, b *ledgertest.Books, number string) *tasks.RefundRevision {
	t.Helper()
	revision := tasks.RefundRevision(*ended(t, b, number, tasks.RefundSucceeded))
	return &revision
}

// failAndReturn books a number's failure and has its case's money asked for again, under the number that it returns.
func failAndReturn(t *testing.T, b *ledgertest.Books, number string) (next string) {
	t.Helper()
	ledgertest.Applied(t, b.Do(t, ended(t, b, number, tasks.RefundFailed))...)
	id := openCase(t, b, ledger.FailedRefund, number)
	ledgertest.Applied(t, b.Do(t, sendBack(id))...)
	return returnNumber(t, b, id)
}

// refunded has 6.00 of an order sent back to WeChat Pay, and returns the number.
func refunded(t *testing.T, b *ledgertest.Books, refundID string) string {
	t.Helper()
	ledgertest.Applied(t, b.Do(t, ledgertest.Payment("o-"+refundID, "u1", ledgertest.Leg(tasks.SourceWeChat, "20.00")),
		ledgertest.Refund(refundID, "o-"+refundID, "u1", "6.00"))...)
	return numberOf(t, b, "SELECT refund_number($1, '0')", refundID)
}

func openCases(t *testing.T, b *ledgertest.Books, kind ledger.CaseKind) int {
	t.Helper()
	return count(t, b.DB, fmt.Sprintf("SELECT count(*) FROM open_cases s JOIN cases c USING (book, request_id, ordinal) WHERE c.kind = '%s'", kind))
}

// numberOf is a number as PostgreSQL makes it; internal/proof compares that with the code.
func numberOf(t *testing.T, b *ledgertest.Books, sql string, args ...any) (number string) {
	t.Helper()
	if err := b.DB.Pool.QueryRow(t.Context(), sql, args...).Scan(&number); err != nil {
		t.Fatal(err)
	}
	return number
}

func returnNumber(t *testing.T, b *ledgertest.Books, caseID string) string {
	t.Helper()
	return numberOf(t, b, "SELECT return_number(split_part($1, '.', 1)::smallint, split_part($1, '.', 2)::uuid, split_part($1, '.', 3)::smallint)", caseID)
}

func TestFailedRefundIsSentAgainUnderAnotherNumber(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end                 tasks.RefundEnd
		refunding, clearing string
		open                int
	}{
		"and is paid":     {tasks.RefundSucceeded, "0.00", "-14.00", 0},
		"and fails again": {tasks.RefundFailed, "6.00", "-20.00", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := ledgertest.Open(t)
			first := refunded(t, b, "r1")
			second := failAndReturn(t, b, first)
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "6.00")
			if n := count(t, b.DB, fmt.Sprintf(`SELECT count(*) FROM requests a JOIN requests b USING (book, kind)
				WHERE kind = 'refund:send' AND a.key = '%s' AND b.key = '%s'
				AND (a.payload::jsonb - 'number' - 'occurred_at') = (b.payload::jsonb - 'number' - 'occurred_at')`, first, second)); n != 1 {
				t.Error("what was sent again is of another payment, total or amount")
			}
			ledgertest.Applied(t, b.Do(t, ended(t, b, second, c.end))...)
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), c.refunding)
			b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), c.clearing)
			if n := openCases(t, b, ledger.FailedRefund); n != c.open {
				t.Errorf("%d open cases, want %d", n, c.open)
			}
			shown, err := b.Reader.ChannelRefunds(t.Context(), []string{first})
			if err != nil || len(shown) != 2 {
				t.Fatal(shown, err)
			}
			if s := shown[0]; s.Number != first || s.State != ledger.ChannelRefundFailed || s.SentAgain != second || s.EndedAt == nil {
				t.Errorf("the first try is shown as %+v", s)
			}
			if s := shown[1]; s.Number != second || s.State != ledger.ChannelRefundState(c.end) || s.SentAgain != "" || s.EndedAt == nil ||
				s.RefundID != "r1" || s.Leg != 0 || s.Amount != ledgertest.Yuan("6.00") {
				t.Errorf("the second try is shown as %+v", s)
			}
			if c.open == 0 {
				return
			}
			again := openCase(t, b, ledger.FailedRefund, second)
			ledgertest.RejectedFor(t, b.Do(t, credit(again, "u2"))[0], tasks.OrderOfAnotherUser)
			third := failAndReturnOpen(t, b, again)
			ledgertest.Applied(t, b.Do(t, ended(t, b, third, tasks.RefundSucceeded))...)
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
			b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-14.00")
		})
	}
}

// failAndReturnOpen has an open case's money asked for again.
func failAndReturnOpen(t *testing.T, b *ledgertest.Books, id string) (number string) {
	t.Helper()
	ledgertest.Applied(t, b.Do(t, sendBack(id))...)
	return returnNumber(t, b, id)
}

// R7: the end follows from which numbers the channel has paid, in whatever order that is heard, and in however many batches.
func TestTriesOfARefundConvergeInEveryOrder(t *testing.T) {
	t.Parallel()
	for tries := 2; tries <= 3; tries++ {
		for late := range 1 << tries { // bit i: number i is paid after it had failed
			for _, last := range []tasks.RefundEnd{tasks.RefundSucceeded, tasks.RefundFailed} {
				if last == tasks.RefundSucceeded && late>>(tries-1) != 0 {
					continue // it did not fail
				}
				t.Run(fmt.Sprintf("%d tries, late %b, last %s", tries, late, last), func(t *testing.T) {
					t.Parallel()
					convergeTries(t, tries, late, last)
				})
			}
		}
	}
}

// convergeTries hears the end of the last try and the late successes in every order. All but the last had failed before.
func convergeTries(t *testing.T, tries, lateOnes int, last tasks.RefundEnd) {
	b := ledgertest.Open(t)
	events := 1
	paid := 0
	if last == tasks.RefundSucceeded {
		paid++
	}
	for i := range tries {
		if lateOnes>>i&1 == 1 {
			events++
			paid++
		}
	}
	refunds := 0
	for _, order := range permutations(events) {
		for _, together := range []bool{true, false} {
			refunds++
			numbers := []string{refunded(t, b, fmt.Sprintf("r%d", refunds))}
			for len(numbers) < tries {
				numbers = append(numbers, failAndReturn(t, b, numbers[len(numbers)-1]))
			}
			heard := []tasks.Payload{ended(t, b, numbers[tries-1], last)}
			for i, number := range numbers {
				if lateOnes>>i&1 == 1 {
					heard = append(heard, late(t, b, number))
				}
			}
			before := b.Balance(t, ledger.ChannelRefunding(tasks.SourceWeChat))
			receipts := b.Accept(t, heard...)
			applyInOrder(t, b, receipts, order, together)
			ledgertest.Applied(t, b.Apply(t, receipts...)...)
			if got, want := before.Sub(b.Balance(t, ledger.ChannelRefunding(tasks.SourceWeChat))), money.FromFen(int64(paid)*6_00); got != want {
				t.Errorf("order %v, together %t: %s have left refunding, want %s", order, together, got, want)
			}
		}
	}
	open, twice := 0, (paid-1)*refunds
	if paid == 0 {
		open, twice = refunds, 0
	}
	if a, b := openCases(t, b, ledger.FailedRefund), openCases(t, b, ledger.PaidTwice); a != open || b != twice {
		t.Errorf("%d failed refunds are open, want %d; %d were paid twice, want %d", a, open, b, twice)
	}
}

// What a person decides of a later failure counts for an earlier number that is paid after that.
func TestEarlierNumberIsPaidAfterThePersonHasDecidedTheLaterFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		decide          func(id string) tasks.Payload
		refunding, cash string
		twice           int
	}{
		"credited": {func(id string) tasks.Payload { return credit(id, "u1") }, "-6.00", "6.00", 1},
		"stated":   {func(id string) tasks.Payload { return closing(id, tasks.PaidAtChannel) }, "0.00", "0.00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := ledgertest.Open(t)
			first := refunded(t, b, "r1")
			second := failAndReturn(t, b, first)
			ledgertest.Applied(t, b.Do(t, ended(t, b, second, tasks.RefundFailed))...)
			ledgertest.Applied(t, b.Do(t, c.decide(openCase(t, b, ledger.FailedRefund, second)))...)
			ledgertest.Applied(t, b.Do(t, late(t, b, first))...)
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), c.refunding)
			b.Expect(t, ledger.UserCash("u1"), c.cash)
			if n := openCases(t, b, ledger.PaidTwice); n != c.twice {
				t.Errorf("%d were paid twice, want %d", n, c.twice)
			}
			// The second one is paid too: that is once more than it was before.
			ledgertest.Applied(t, b.Do(t, late(t, b, second))...)
			if n := openCases(t, b, ledger.PaidTwice); n != c.twice+1 {
				t.Errorf("%d were paid twice, want %d", n, c.twice+1)
			}
		})
	}
}

func TestTwoOperatorsAtOnceSendARefundAgainOrCreditIt(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		b := ledgertest.Open(t)
		first := refunded(t, b, "r1")
		ledgertest.Applied(t, b.Do(t, ended(t, b, first, tasks.RefundFailed))...)
		id := openCase(t, b, ledger.FailedRefund, first)
		ways := []tasks.Payload{sendBack(id), credit(id, "u1"), closing(id, tasks.PaidAtChannel)}
		fates := make([]ledger.Answer, len(ways))
		var deciders sync.WaitGroup
		for n := range ways {
			place := (n + i) % len(ways)
			deciders.Go(func() { fates[place] = b.Do(t, ways[place])[0] })
		}
		deciders.Wait()
		applied := 0
		for _, fate := range fates {
			if fate.Outcome.Result == tasks.Applied {
				applied++
			} else {
				ledgertest.RejectedFor(t, fate, tasks.CaseIsClosed)
			}
		}
		if applied != 1 {
			t.Errorf("%d ways out were applied: %+v", applied, fates)
		}
		if again := b.Do(t, ways...); again[0].Replay != true {
			t.Errorf("asked again, it is %+v", again[0])
		}
	}
}

func TestTwoOperatorsAtOnceSendARefundAgainOnce(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	first := refunded(t, b, "r1")
	ledgertest.Applied(t, b.Do(t, ended(t, b, first, tasks.RefundFailed))...)
	id := openCase(t, b, ledger.FailedRefund, first)
	var deciders sync.WaitGroup
	for i := range 6 {
		deciders.Go(func() {
			asked := sendBack(id)
			asked.By = fmt.Sprintf("operator-%d", i)
			receipt, err := b.Client.Enqueue(t.Context(), asked)
			var conflict *tasks.ConflictError
			switch {
			case errors.As(err, &conflict):
			case err != nil:
				t.Error(err)
			default:
				ledgertest.Applied(t, b.Apply(t, receipt)...)
			}
		})
	}
	deciders.Wait()
	if n := count(t, b.DB, "SELECT count(*) FROM requests WHERE kind = 'refund:send'"); n != 2 {
		t.Errorf("%d numbers were sent, want 2", n)
	}
}

// What WeChat Pay holds would be paid from other money under another number.
func TestRefundWhoseMoneyTheChannelHoldsIsNotSentAgain(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	for reason, held := range map[string]bool{"ABNORMAL": true, "CLOSED": false, "USER_ACCOUNT_ABNORMAL": false} {
		number := refunded(t, b, "r-"+reason)
		failure := ended(t, b, number, tasks.RefundFailed)
		failure.Reason = reason
		ledgertest.Applied(t, b.Do(t, failure)...)
		id := openCase(t, b, ledger.FailedRefund, number)
		if !held {
			failAndReturnOpen(t, b, id)
			continue
		}
		ledgertest.RejectedFor(t, b.Do(t, sendBack(id))[0], tasks.ChannelHoldsMoney)
		ledgertest.RejectedFor(t, b.Do(t, credit(id, "u2"))[0], tasks.OrderOfAnotherUser)
		if caseByID(t, b, id).Closing != nil {
			t.Error("the case is closed")
		}
	}
}

// Whatever operators do with failed refunds, and channels with their numbers, refunding holds what is under way and what open cases ask about,
// less what was paid once too often.
func TestMoneyOfRefundsThatAreSentAgainIsConserved(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := ledgertest.Open(t)
	for i := range 12 {
		numbers := []string{refunded(t, b, fmt.Sprintf("r%d", i))}
		for range random.IntN(3) {
			numbers = append(numbers, failAndReturn(t, b, numbers[len(numbers)-1]))
		}
		last := numbers[len(numbers)-1]
		var heard []tasks.Payload
		end := []tasks.RefundEnd{tasks.RefundSucceeded, tasks.RefundFailed, ""}[random.IntN(3)]
		if end != "" {
			heard = append(heard, ended(t, b, last, end))
		}
		for _, number := range numbers {
			if random.IntN(2) == 0 && (number != last || end == tasks.RefundFailed) {
				heard = append(heard, late(t, b, number))
			}
		}
		random.Shuffle(len(heard), func(i, j int) { heard[i], heard[j] = heard[j], heard[i] })
		for len(heard) > 0 {
			n := 1 + random.IntN(len(heard))
			b.Do(t, heard[:n]...)
			b.Settle(t)
			heard = heard[n:]
		}
		if end == tasks.RefundFailed && openCases(t, b, ledger.FailedRefund) > 0 && random.IntN(2) == 0 {
			cases, _, err := b.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true, Kind: ledger.FailedRefund}, ledger.CasePosition{}, 1)
			if err != nil {
				t.Fatal(err)
			}
			ledgertest.Applied(t, b.Do(t, credit(cases[0].ID, "u1"))...)
		}
	}
	const standingSQL = `
		SELECT (SELECT coalesce(sum(balance_fen), 0) FROM accounts WHERE kind = 'channel_refunding')
		     - (SELECT coalesce(sum((r.payload ->> 'amount')::numeric * 100), 0) FROM requests r WHERE r.kind = 'refund:send' AND NOT EXISTS (
		            SELECT FROM requests a JOIN outcomes o ON o.book = a.book AND o.request_id = a.id
		            WHERE a.kind = 'refund:answer' AND a.key = r.key)
		        AND NOT EXISTS (
		            SELECT FROM requests s JOIN requests v ON v.kind IN ('refund:answer', 'refund:revise') AND v.key = s.key AND v.payload ->> 'result' = 'succeeded'
		            WHERE s.kind = 'refund:send' AND s.payload ->> 'refund_id' = r.payload ->> 'refund_id'))
		     - (SELECT coalesce(sum(c.amount_fen), 0) FROM open_cases s JOIN cases c USING (book, request_id, ordinal) WHERE c.kind = 'failed_refund')
		     + (SELECT coalesce(sum(amount_fen), 0) FROM cases WHERE kind = 'paid_twice')`
	if off := count(t, b.DB, "SELECT ("+standingSQL+")::bigint"); off != 0 {
		t.Errorf("refunding is off by %d fen", off)
	}
}

// A return that failed is sent again and fails again, and its first number is paid after all: the cases stand against each other.
func TestCasesOfOnePaymentNameEachOther(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	id := suspended(t, b, "t1", "u1", "10.00")
	suspended(t, b, "t2", "u2", "10.00") // another payment's
	ledgertest.Applied(t, b.Do(t, sendBack(id))...)
	failure := returnAnswer(t, b, id, tasks.RefundFailed)
	ledgertest.Applied(t, b.Do(t, failure)...)
	failed := openCase(t, b, ledger.FailedReturn, failure.Number)
	ledgertest.Applied(t, b.Do(t, sendBack(failed))...)
	revision := tasks.RefundRevision(*failure)
	revision.Result = tasks.RefundSucceeded
	second := returnAnswer(t, b, failed, tasks.RefundFailed)
	ledgertest.Applied(t, b.Do(t, &revision)...)
	ledgertest.Applied(t, b.Do(t, second)...)
	again, twice := openCase(t, b, ledger.FailedReturn, second.Number), openCase(t, b, ledger.PaidTwice, failure.Number)
	for asked, want := range map[string]ledger.CaseBeside{again: {ID: twice, Kind: ledger.PaidTwice}, twice: {ID: again, Kind: ledger.FailedReturn}} {
		ref, err := tasks.ParseCaseID(asked)
		if err != nil {
			t.Fatal(err)
		}
		if beside, err := b.Reader.CasesBeside(t.Context(), ref); err != nil || len(beside) != 1 || beside[0] != want {
			t.Errorf("beside %s: %+v, %v; want %+v", asked, beside, err, want)
		}
	}
}
