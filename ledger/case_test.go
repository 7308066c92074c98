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

// suspended has a payment of WeChat Pay suspended beside a user, and returns its case's id.
func suspended(t *testing.T, b *ledgertest.Books, txn, user, yuan string) string {
	t.Helper()
	ledgertest.Applied(t, b.Do(t, &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: txn, OutTradeNo: "RC1", Amount: ledgertest.Yuan(yuan),
		Cause: tasks.ClosedOrder, UserID: user, RechargeID: "rc-" + txn, OccurredAt: ledgertest.Noon})...)
	return openCase(t, b, ledger.UnmatchedRecharge, string(tasks.SourceWeChat)+"/"+txn)
}

// openCase finds the one open case of a kind that a request's key has opened.
func openCase(t *testing.T, b *ledgertest.Books, kind ledger.CaseKind, key string) string {
	t.Helper()
	cases, next, err := b.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true, Kind: kind}, ledger.CasePosition{}, 1000)
	if err != nil || next != nil {
		t.Fatal(next, err)
	}
	for i := range cases {
		if cases[i].Opened.Key == key {
			return cases[i].ID
		}
	}
	t.Fatalf("no open %s by %s in %+v", kind, key, cases)
	return ""
}

func caseByID(t *testing.T, b *ledgertest.Books, id string) ledger.CaseRecord {
	t.Helper()
	ref, err := tasks.ParseCaseID(id)
	if err != nil {
		t.Fatal(err)
	}
	found, err := b.Reader.Case(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func credit(id, user string) *tasks.CaseCredit {
	return &tasks.CaseCredit{CaseID: id, UserID: user, By: "ada", Note: "hers"}
}

func sendBack(id string) *tasks.CaseReturn {
	return &tasks.CaseReturn{CaseID: id, By: "ada", Note: "paid twice"}
}

func closing(id string, statement tasks.CaseStatement) *tasks.CaseClosing {
	return &tasks.CaseClosing{CaseID: id, Statement: statement, By: "ada", Note: "looked up"}
}

// returnAnswer is a channel's answer to the return of a case, which must have been sent.
func returnAnswer(t *testing.T, b *ledgertest.Books, caseID string, end tasks.RefundEnd) *tasks.RefundResult {
	t.Helper()
	var number, txn string
	var fen int64
	if err := b.DB.Pool.QueryRow(t.Context(), `SELECT key, payload ->> 'channel_txn_id', ((payload ->> 'amount')::numeric * 100)::bigint
		FROM requests WHERE kind = 'refund:send' AND payload ->> 'case_id' = $1`, caseID).Scan(&number, &txn, &fen); err != nil {
		t.Fatal(err)
	}
	if txn == "" {
		t.Errorf("the return of %s names no payment", caseID)
	}
	return &tasks.RefundResult{Number: number, CaseID: caseID, Channel: tasks.SourceWeChat, Amount: money.FromFen(fen), Result: end,
		OccurredAt: ledgertest.Noon}
}

func TestSuspendedPaymentIsCreditedOnceToWhomAPersonSays(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	id := suspended(t, b, "t1", "u1", "10.00")
	ledgertest.Applied(t, b.Do(t, credit(id, "u1"))...)
	b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "0.00")
	b.Expect(t, ledger.UserCash("u1"), "10.00")
	if again := b.Do(t, credit(id, "u1"))[0]; !again.Replay {
		t.Errorf("asked again, it is %+v", again)
	}
	b.Expect(t, ledger.UserCash("u1"), "10.00")
	end := caseByID(t, b, id).Closing
	if end == nil || end.Kind != tasks.CreditCase || end.Key != id+":u1" || end.By != "ada" || end.Note != "hers" || end.At.IsZero() {
		t.Errorf("closed by %+v", end)
	}
}

func TestCaseOfOneBookIsCreditedToAUserOfAnother(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	other := someoneElsewhere("u1")
	id := suspended(t, b, "t1", "u1", "10.00")
	// A producer's transfer that is called as the case is does not stand in its way.
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "1.00"), ledgertest.Transfer(id, "u1", other, "1.00"))...)
	ledgertest.Applied(t, b.Do(t, credit(id, other))...)
	b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "0.00")
	b.Settle(t)
	b.Expect(t, ledger.UserCash(other), "11.00")
	if n := count(t, b.DB, "SELECT count(*) FROM accounts WHERE kind = 'interbook' AND balance_fen <> 0"); n != 2 {
		t.Errorf("%d books owe each other, want 2", n)
	}
}

// W7: whichever way out is taken first, together or one after the other, every other is refused.
func TestSecondWayOutOfACaseIsRefused(t *testing.T) {
	t.Parallel()
	for _, order := range permutations(3) {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprint(order, together), func(t *testing.T) {
				t.Parallel()
				b := ledgertest.Open(t)
				id := suspended(t, b, "t1", "u1", "10.00")
				receipts := b.Accept(t, credit(id, "u1"), sendBack(id), closing(id, tasks.PaidAtChannel))
				applyInOrder(t, b, receipts, order, together)
				answers := b.Apply(t, receipts...)
				for place, i := range order {
					if place == 0 {
						ledgertest.Applied(t, answers[i])
					} else {
						ledgertest.RejectedFor(t, answers[i], tasks.CaseIsClosed)
					}
				}
				b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "0.00")
			})
		}
	}
}

func TestTwoOperatorsAtOncePayACaseOnce(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	id := suspended(t, b, "t1", "u1", "10.00")
	var conflicts int
	var accepted []tasks.Receipt
	var mu sync.Mutex
	var askers sync.WaitGroup
	for i := range 8 {
		askers.Go(func() {
			asked := credit(id, "u1")
			asked.By = fmt.Sprintf("operator-%d", i)
			receipt, err := b.Client.Enqueue(t.Context(), asked)
			var conflict *tasks.ConflictError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.As(err, &conflict):
				conflicts++
			case err == nil:
				accepted = append(accepted, receipt)
			default:
				t.Error(err)
			}
		})
	}
	askers.Wait()
	if len(accepted) != 1 || conflicts != 7 {
		t.Fatalf("%d accepted, %d conflicts", len(accepted), conflicts)
	}
	ledgertest.Applied(t, b.Apply(t, accepted...)...)
	b.Expect(t, ledger.UserCash("u1"), "10.00")
}

func TestReturnedPaymentGoesBackThroughItsChannel(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	id := suspended(t, b, "t1", "u1", "10.00")
	ledgertest.Applied(t, b.Do(t, sendBack(id))...)
	b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "0.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "10.00")
	ledgertest.Applied(t, b.Do(t, returnAnswer(t, b, id, tasks.RefundSucceeded))...)
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "0.00")
}

// A return that the channel refuses is a case again, which has ways out of its own, the channel's second thoughts among them.
func TestReturnThatFailsStandsInSuspenseAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		decide  func(id string) tasks.Payload // nil: nobody does
		twice   int
		cash    string
		refunds string // left in refunding
	}{
		"and its channel pays after all":               {nil, 0, "0.00", "0.00"},
		"is credited, and its channel pays after all":  {func(id string) tasks.Payload { return credit(id, "u1") }, 1, "10.00", "-10.00"},
		"is paid by hand, and its channel says so too": {func(id string) tasks.Payload { return closing(id, tasks.PaidAtChannel) }, 0, "0.00", "0.00"},
		"is sent again, and both are paid":             {func(id string) tasks.Payload { return sendBack(id) }, 1, "0.00", "-10.00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := ledgertest.Open(t)
			id := suspended(t, b, "t1", "u1", "10.00")
			ledgertest.Applied(t, b.Do(t, sendBack(id))...)
			failure := returnAnswer(t, b, id, tasks.RefundFailed)
			failure.Reason = "the card is closed"
			ledgertest.Applied(t, b.Do(t, failure)...)
			b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "10.00")
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
			again := openCase(t, b, ledger.FailedReturn, failure.Number)
			if c.decide != nil {
				ledgertest.Applied(t, b.Do(t, c.decide(again))...)
				if _, sent := c.decide(again).(*tasks.CaseReturn); sent {
					ledgertest.Applied(t, b.Do(t, returnAnswer(t, b, again, tasks.RefundSucceeded))...)
				}
			}
			revision := tasks.RefundRevision(*failure)
			revision.Result, revision.Reason = tasks.RefundSucceeded, ""
			ledgertest.Applied(t, b.Do(t, &revision)...)
			b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "0.00")
			b.Expect(t, ledger.UserCash("u1"), c.cash)
			b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), c.refunds)
			if n := count(t, b.DB, "SELECT count(*) FROM cases WHERE kind = 'paid_twice'"); n != c.twice {
				t.Errorf("%d cases of a payment that was paid twice, want %d", n, c.twice)
			}
			if caseByID(t, b, again).Closing == nil {
				t.Error("the case of the failure is open")
			}
		})
	}
}

func TestFailedRefundIsCreditedToItsOrdersUserAlone(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	failure, revision := failedRefund(t, b, false)
	ledgertest.Applied(t, b.Do(t, failure)...)
	id := openCase(t, b, ledger.FailedRefund, failure.Number)
	ledgertest.RejectedFor(t, b.Do(t, closing(id, tasks.ShortageStays))[0], tasks.CaseHasMoney)
	ledgertest.RejectedFor(t, b.Do(t, credit(id, "u2"))[0], tasks.OrderOfAnotherUser) // and the owner can still be credited
	ledgertest.Applied(t, b.Do(t, credit(id, "u1"))...)
	b.Expect(t, ledger.UserCash("u1"), "6.00")
	ledgertest.Applied(t, b.Do(t, revision)...)
	twice := openCase(t, b, ledger.PaidTwice, failure.Number)
	ledgertest.RejectedFor(t, b.Do(t, credit(twice, "u1"))[0], tasks.CaseHasNoMoney)
	ledgertest.RejectedFor(t, b.Do(t, closing(twice, tasks.PaidAtChannel))[0], tasks.CaseHasNoMoney) // and the other can still be said
	ledgertest.Applied(t, b.Do(t, closing(twice, tasks.ShortageStays))...)
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "-6.00")
}

// During an upgrade a worker of a version before closings may apply a revision: it moves the money and leaves the case open. Nobody is
// given that money again.
func TestCaseWhoseChannelHasPaidByAnOlderWorkerIsNeverPaidAgain(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	failure, revision := failedRefund(t, b, false)
	ledgertest.Applied(t, b.Do(t, failure)...)
	id := openCase(t, b, ledger.FailedRefund, failure.Number)
	older := ledgertest.OpenOn(t, b.DB, ledgertest.WithRules(ledger.NewRule(func(*tasks.RefundRevision, *ledger.Reads) {},
		func(s *ledger.State, _ *ledger.Request, p *tasks.RefundRevision) ledger.Decision {
			d := ledger.Apply("wechat has paid after all")
			d.Move(s.Account(ledger.ChannelRefunding(p.Channel)), s.Account(ledger.ChannelClearing(p.Channel)), p.Amount)
			return d
		})))
	ledgertest.Applied(t, older.Do(t, revision)...)
	ledgertest.RejectedFor(t, b.Do(t, credit(id, "u1"))[0], tasks.CaseIsClosed)
	ledgertest.RejectedFor(t, b.Do(t, sendBack(id))[0], tasks.CaseIsClosed)
	ledgertest.Applied(t, b.Do(t, closing(id, tasks.PaidAtChannel))...)
	if caseByID(t, b, id).Closing == nil {
		t.Error("the case is open")
	}
	b.Expect(t, ledger.UserCash("u1"), "0.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	b.Expect(t, ledger.ChannelClearing(tasks.SourceWeChat), "-14.00")
}

func TestCaseThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	id := suspended(t, b, "t1", "u1", "10.00")
	ref, err := tasks.ParseCaseID(id)
	if err != nil {
		t.Fatal(err)
	}
	ref.Ordinal++
	ledgertest.RejectedFor(t, b.Do(t, credit(ref.String(), "u1"))[0], tasks.NoSuchCase)
	if _, err := b.Reader.Case(t.Context(), ref); !errors.Is(err, ledger.ErrNoCase) {
		t.Errorf("looked up: %v", err)
	}
}

// Whatever operators do with cases, and channels with returns, what came in is where it was sent, to the fen.
func TestMoneyOfCasesIsConserved(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := ledgertest.Open(t)
	came, credited, byHand := money.Amount{}, money.Amount{}, money.Amount{}
	returned := money.Amount{}
	for i := range 30 {
		amount := money.FromFen(1 + random.Int64N(100_00))
		user := fmt.Sprintf("u%d", random.IntN(5))
		id := suspended(t, b, fmt.Sprintf("t%d", i), user, amount.String())
		came = came.Add(amount)
		ways := []tasks.Payload{credit(id, fmt.Sprintf("u%d", random.IntN(5))), sendBack(id), closing(id, tasks.PaidAtChannel)}
		random.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
		ways = ways[:random.IntN(len(ways)+1)]
		if len(ways) == 0 {
			continue
		}
		ledgertest.Applied(t, b.Do(t, ways...)[0])
		switch ways[0].(type) {
		case *tasks.CaseCredit:
			credited = credited.Add(amount)
		case *tasks.CaseClosing:
			byHand = byHand.Add(amount)
		case *tasks.CaseReturn:
			end := []tasks.RefundEnd{tasks.RefundSucceeded, tasks.RefundFailed}[random.IntN(2)]
			ledgertest.Applied(t, b.Do(t, returnAnswer(t, b, id, end))...)
			if end == tasks.RefundSucceeded {
				returned = returned.Add(amount)
			}
		}
	}
	b.Settle(t)
	sum := func(kind string) money.Amount {
		return money.FromFen(int64(count(t, b.DB, "SELECT coalesce(sum(balance_fen), 0)::bigint FROM accounts WHERE kind = '"+kind+"'")))
	}
	left := came.Sub(credited).Sub(byHand).Sub(returned)
	if sum("user_cash") != credited || sum("suspense") != left || !sum("channel_refunding").IsZero() {
		t.Errorf("%s came, %s were credited, %s by hand, %s returned; users have %s, suspense %s, refunding %s", came, credited, byHand, returned,
			sum("user_cash"), sum("suspense"), sum("channel_refunding"))
	}
}

func TestCasesAreListedPageByPageTheOldestFirst(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	var want []string
	for i := range 7 {
		want = append(want, suspended(t, b, fmt.Sprintf("t%d", i), fmt.Sprintf("u%d", i), "1.00"))
	}
	ledgertest.Applied(t, b.Do(t, credit(want[3], "u1"))...)
	for _, open := range []bool{true, false} {
		var got []string
		after := ledger.CasePosition{}
		for {
			page, next, err := b.Reader.Cases(t.Context(), ledger.CaseFilter{Open: open, Kind: ledger.UnmatchedRecharge}, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page {
				got = append(got, page[i].ID)
			}
			if next == nil {
				break
			}
			after = *next
		}
		expected := append([]string(nil), want...)
		if open {
			expected = append(expected[:3], expected[4:]...)
		}
		if fmt.Sprint(got) != fmt.Sprint(expected) {
			t.Errorf("open %t: listed %v, want %v", open, got, expected)
		}
	}
	counted, err := b.Ledger.OpenCases(t.Context())
	if err != nil || len(counted) != 1 || counted[0].Kind != ledger.UnmatchedRecharge || counted[0].Cases != 6 || counted[0].OldestAge <= 0 {
		t.Errorf("counted %+v, %v", counted, err)
	}
}
