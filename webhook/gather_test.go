package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestOutcomeIsToldOnceToWhoeverWantsItsEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all, _ := w.add(t, "http://127.0.0.1:1/all", Events()...)
	rejected, _ := w.add(t, "http://127.0.0.1:1/rejected", "payment.rejected")
	other, _, err := w.registry.Add(t.Context(), NewEndpoint{Producer: "other", URL: "http://127.0.0.1:1", Events: Events(), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	w.Do(t, ledgertest.Recharge("rc1", "u1", "10.00"), ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "4.00")),
		ledgertest.Payment("o2", "u1", ledgertest.Leg(tasks.SourceCash, "7.00")), ledgertest.Refund("rf1", "o1", "u1", "1.00"))
	w.gatherAll(t)
	w.gatherAll(t)
	for e, want := range map[string][]string{
		all.ID: {"1 recharge.applied rc1 waiting", "2 payment.applied o1 waiting", "3 payment.rejected o2 waiting",
			"4 refund.applied rf1 waiting"},
		rejected.ID: {"1 payment.rejected o2 waiting"},
		other.ID:    nil,
	} {
		if diff := cmp.Diff(want, w.told(t, Endpoint{ID: e})); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
}

func TestWhatSettledAsksOfItselfIsToldToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _, err := w.registry.Add(t.Context(), NewEndpoint{Producer: "settled", URL: "http://127.0.0.1:1", Events: Events(), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	w.Do(t, ledgertest.Recharge("rc1", "u1", "10.00"), ledgertest.Enrolment("e1", "u1", "1.00"),
		&tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"}, ledgertest.Transfer("t1", inBook(0), inBook(1), "1.00"))
	w.Settle(t)
	w.gatherAll(t)
	if got := w.told(t, e); got != nil {
		t.Errorf("told %q", got)
	}
}

// A night's sweep is asked for by a producer too; what settled asks of its books for it is its own.
func TestSweepIsToldToWhoAskedForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "sweep.applied", "sweep.rejected")
	w.Do(t, &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"})
	w.Settle(t)
	w.gatherAll(t)
	if diff := cmp.Diff([]string{"1 sweep.applied xiaojinku/2026-03-02 waiting"}, w.told(t, e)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// Whatever a producer may ask for has an event for each of its results: a kind that is added later is not forgotten.
func TestEveryKindThatProducersAskForIsTold(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		if kind.Internal() {
			continue
		}
		for _, result := range []tasks.Result{tasks.Applied, tasks.Rejected} {
			if event, told := eventOf(kind, result, ""); !told || !slices.Contains(Events(), event) {
				t.Errorf("%s that is %s is told as %q: %v", kind, result, event, told)
			}
		}
	}
}

// A channel's answer is stored by the worker, and is the refund's producer's business.
func TestChannelsAnswerIsToldToTheRefundsProducer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", RefundChannelSucceeded, RefundChannelFailed)
	stranger, _, err := w.registry.Add(t.Context(), NewEndpoint{Producer: "worker", URL: "http://127.0.0.1:1", Events: Events(), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := tasks.NewClient(t.Context(), w.DB.Pool, nil, tasks.ClientConfig{Producer: "worker"})
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	w.Do(t, ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceWeChat, "4.00")), ledgertest.Refund("rf1", "o1", "u1", "1.00"),
		ledgertest.Refund("rf2", "o1", "u1", "2.00"))
	var want []string
	var number string
	for i, end := range []tasks.RefundEnd{tasks.RefundSucceeded, tasks.RefundFailed} {
		refund := fmt.Sprintf("rf%d", i+1)
		if err := w.DB.Pool.QueryRow(t.Context(), "SELECT key FROM requests WHERE kind = 'refund:send' AND payload ->> 'refund_id' = $1", refund).
			Scan(&number); err != nil {
			t.Fatal(err)
		}
		receipt, err := worker.Enqueue(t.Context(), &tasks.RefundResult{Number: number, RefundID: refund, UserID: "u1",
			Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan(fmt.Sprintf("%d.00", i+1)), Result: end, OccurredAt: noon})
		if err != nil {
			t.Fatal(err)
		}
		ledgertest.Applied(t, w.Apply(t, receipt)...)
		want = append(want, fmt.Sprintf("%d refund.channel_%s %s waiting", i+1, end, number))
	}
	revision := &tasks.RefundRevision{Number: number, RefundID: "rf2", UserID: "u1", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("2.00"), Result: tasks.RefundSucceeded, OccurredAt: noon}
	receipt, err := worker.Enqueue(t.Context(), revision)
	if err != nil {
		t.Fatal(err)
	}
	ledgertest.Applied(t, w.Apply(t, receipt)...)
	want = append(want, "3 refund.channel_succeeded "+number+" waiting")
	w.gatherAll(t)
	if diff := cmp.Diff(want, w.told(t, e)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if got := w.told(t, stranger); got != nil {
		t.Errorf("who stored the answer was told %q", got)
	}
}

// A channel's notice is stored by the front door, and is the business of who opened the recharge order.
func TestConfirmedRechargeIsToldToWhoOpenedItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop, _, err := w.registry.Add(t.Context(), NewEndpoint{Producer: "shop", URL: "http://127.0.0.1:1", Events: Events(), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := w.add(t, "http://127.0.0.1:1", "recharge.applied")
	w.exec(t, `INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer, expires_at)
		VALUES ($1, 'rc1', 'u1', 'wechat', 1000, 'S0000001', 'shop', now() + interval '1 hour')`, tasks.BookOf("u1", 4))
	wrong := &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: "wx2", OutTradeNo: "S0000001", Amount: ledgertest.Yuan("9.99"),
		Cause: tasks.WrongAmount, UserID: "u1", RechargeID: "rc1", OccurredAt: noon}
	unknown := &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: "wx3", OutTradeNo: "X", Amount: ledgertest.Yuan("9.99"),
		Cause: tasks.UnknownOrder, OccurredAt: noon}
	heard := w.Hear(t, wrong, ledgertest.Recharge("rc1", "u1", "10.00"), ledgertest.Recharge("rc2", "u1", "10.00"), unknown)
	for _, receipt := range heard {
		w.Apply(t, receipt)
	}
	w.gatherAll(t)
	if diff := cmp.Diff([]string{"1 recharge.suspended wechat/wx2 waiting", "2 recharge.applied rc1 waiting"}, w.told(t, shop)); diff != "" {
		t.Errorf("who opened the order was told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1 recharge.applied rc2 waiting"}, w.told(t, e)); diff != "" {
		t.Errorf("who asked was told (-want +got):\n%s", diff)
	}
}

// H1: what was decided before an endpoint was there, or while it was disabled, is never told to it.
func TestEndpointIsToldOfWhatIsDecidedAfterIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rewards(t, "before", 9)
	first, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.rewards(t, "between", 9)
	second, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.gatherAll(t)
	w.rewards(t, "after", 9)
	third, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.gatherAll(t)
	if err := w.registry.Disable(t.Context(), third.ID, "by the test", "ada"); err != nil {
		t.Fatal(err)
	}
	w.rewards(t, "disabled", 9)
	if err := w.registry.Enable(t.Context(), third.ID); err != nil {
		t.Fatal(err)
	}
	w.gatherAll(t)
	w.rewards(t, "enabled", 9)
	w.gatherAll(t)
	for e, want := range map[string]string{
		first.ID:  "between after disabled enabled",
		second.ID: "after disabled enabled",
		third.ID:  "enabled",
	} {
		var got []string
		for i, m := range w.messages(t, Endpoint{ID: e}) {
			if m.Sequence != int64(i+1) {
				t.Errorf("message %d has the sequence %d", i+1, m.Sequence)
			}
			if word := strings.TrimRight(m.Key, "0123456789"); !slices.Contains(got, word) {
				got = append(got, word)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("told of %v, want %s", got, want)
		}
		if n := len(w.messages(t, Endpoint{ID: e})); n != 9*len(got) {
			t.Errorf("%d messages, want %d", n, 9*len(got))
		}
	}
}

// H1: a gatherer that has looked for endpoints has not seen the one that is being made, so its outcomes are earlier: who makes one waits
// until the gatherer has ended.
func TestEndpointIsMadeBetweenTwoGatherings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, "http://127.0.0.1:1", "reward.applied")
	gathering, err := w.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gathering.Exec(t.Context(), "SELECT FROM webhook_cursors FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() {
		_, _, err := w.registry.Add(t.Context(), NewEndpoint{Producer: producer, URL: "http://127.0.0.1:1", Events: Events(), By: "ada"})
		made <- err
	}()
	w.eventually(t, "the new endpoint waits, or is there", `
		SELECT (SELECT count(*) FROM webhook_endpoints) > 1 OR EXISTS (
			SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
	select {
	case err := <-made:
		t.Errorf("it was made during a gathering: %v", err)
	default:
	}
	if err := gathering.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

// The times of books are compared with themselves only: no clock that was set back hides an outcome from an endpoint.
func TestClockThatWentBackHidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, "UPDATE books SET decided_at = '2100-01-01'")
	w.rewards(t, "ahead", 9)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.exec(t, "UPDATE webhook_endpoints SET created_at = '2200-01-01'")
	w.rewards(t, "later", 9)
	w.gatherAll(t)
	if got := len(w.messages(t, e)); got != 9 {
		t.Errorf("%d messages, want 9", got)
	}
}

func TestOutcomesOfABatchAreGatheredTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	var batches []int
	for batch := range 5 {
		payloads := make([]tasks.Payload, 4)
		for i := range payloads {
			payloads[i] = ledgertest.Reward(fmt.Sprintf("w%d-%d", batch, i), "u1", "1.00")
		}
		ledgertest.Applied(t, w.Apply(t, w.Accept(t, payloads...)...)...)
	}
	book := tasks.BookOf("u1", 4)
	for {
		looked, err := gather(t.Context(), w.DB.Pool, book, 5)
		if err != nil {
			t.Fatal(err)
		}
		if looked == 0 {
			break
		}
		batches = append(batches, looked)
	}
	if want := []int{8, 8, 4}; !slices.Equal(batches, want) {
		t.Errorf("gathered %v outcomes, want %v: batches of 4, at least 5 at once", batches, want)
	}
	var last string
	for i, m := range w.messages(t, e) {
		if m.Sequence != int64(i+1) || m.Key <= last {
			t.Errorf("message %d is of %s after %s: they are not in the order in which they were decided", m.Sequence, m.Key, last)
		}
		last = m.Key
	}
}

func TestBooksAreGatheredByOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.rewards(t, "w", 9)
	other, err := w.DB.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "SELECT FROM webhook_cursors FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	w.gatherAll(t)
	if got := w.told(t, e); got != nil {
		t.Errorf("gathered %q while another process did", got)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.gatherAll(t)
	if got := len(w.told(t, e)); got != 9 {
		t.Errorf("%d messages, want 9", got)
	}
}

// H6: the ledger holds its books' rows for as long as it likes, and the gatherer does not mind; nor does the ledger mind a gatherer.
func TestGatheringAndTheLedgerWaitForNoneOfTheOthersLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.rewards(t, "w", 9)
	batch, err := w.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Exec(t.Context(), "SELECT FROM books FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.courier(t).gatherAll(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(w.told(t, e)); got != 9 {
		t.Errorf("%d messages, want 9", got)
	}
	gathering, err := w.DB.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gathering.Exec(t.Context(), "SELECT FROM webhook_cursors FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := gathering.Exec(t.Context(), "SELECT FROM webhook_endpoints FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	w.rewards(t, "meanwhile", 9)
	if err := gathering.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A caught-up cursor stands where the book does, so that a book which decides nothing is not looked at.
func TestCaughtUpBooksAreNotLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	look := func() []int {
		rows, err := w.DB.Pool.Query(t.Context(), ungatheredBooksSQL)
		if err != nil {
			t.Fatal(err)
		}
		books, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		return books
	}
	w.rewards(t, "before", 9)
	if got := look(); len(got) > 0 {
		t.Errorf("books %v are looked at for nobody", got)
	}
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.gatherAll(t)
	if got := look(); len(got) > 0 {
		t.Errorf("books %v are looked at though nothing was decided", got)
	}
	w.rewards(t, "w", 1)
	w.Do(t, ledgertest.Refund("early", "none", "u1", "1.00")) // parks: its batch has no outcome
	if got, want := look(), []int{tasks.BookOf("u1", 4)}; !slices.Equal(got, want) {
		t.Errorf("books %v are looked at, want %v", got, want)
	}
	w.gatherAll(t)
	if got := look(); len(got) > 0 {
		t.Errorf("books %v are looked at again", got)
	}
	if err := w.registry.Disable(t.Context(), e.ID, "by the test", "ada"); err != nil {
		t.Fatal(err)
	}
	w.rewards(t, "later", 9)
	if got := look(); len(got) > 0 {
		t.Errorf("books %v are looked at for a disabled endpoint", got)
	}
}

func TestEndpointThatIsDisabledMeanwhileGetsNoMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	w.rewards(t, "w", 1)
	book := tasks.BookOf("u1", 4)
	tx, err := w.DB.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	endpoints, since, err := openEndpoints(t.Context(), tx, book)
	if err != nil || len(endpoints) != 1 {
		t.Fatalf("%d endpoints, %v", len(endpoints), err)
	}
	next, err := readPage(t.Context(), tx, book, since, since, 10)
	if err != nil || len(next.outcomes) != 1 {
		t.Fatalf("%d outcomes, %v", len(next.outcomes), err)
	}
	if err := w.registry.Disable(t.Context(), e.ID, "by the test", "ada"); err != nil {
		t.Fatal(err)
	}
	if err := next.tell(t.Context(), tx, endpoints); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.told(t, e); got != nil {
		t.Errorf("told %q", got)
	}
}

// The page comes from the end of an index, and everything else by keys: gathering costs the same however long the history is.
func TestOutcomesAreReadByTheirIndexFromWhereTheCursorStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rewards(t, "w", 50)
	rows, err := w.DB.Pool.Query(t.Context(), "EXPLAIN "+readOutcomesSQL, 0, noon, gatherMax)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	for _, want := range []string{"using outcomes_by_when_they_were_decided", "using request_is_identified_within_its_book",
		"using request_key_is_unique_within_its_kind", "using recharge_order_is_opened_once"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan is not %q:\n%s", want, plan)
		}
	}
	if strings.Contains(plan, "Seq Scan") || strings.Count(plan, "Sort  ") > 1 {
		t.Errorf("the plan reads or sorts a whole table:\n%s", plan)
	}
}

// Whoever has seen an outcome has seen all earlier ones of its book: a batch's time is read under the lock that it holds to its commit.
func TestOutcomesBecomeVisibleInTheOrderOfTheirTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := w.add(t, "http://127.0.0.1:1", "reward.applied")
	const lanes, each = 4, 40
	ended := make(chan error, lanes)
	for lane := range lanes {
		books, err := ledger.Open(t.Context(), w.DB.Pool, ledger.Config{Rules: rules.All()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(books.Close)
		go func() {
			for i := range each {
				receipt, err := w.Client.Enqueue(t.Context(), ledgertest.Reward(fmt.Sprintf("w%d-%d", lane, i), "u1", "0.01"))
				if err == nil {
					_, err = books.Apply(t.Context(), receipt.Book, receipt.ID)
				}
				if err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	c := w.courier(t)
	for running := lanes; running > 0; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			running--
		case <-clock.System.After(time.Millisecond):
		}
		if _, err := c.gatherAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.gatherAll(t)
	if got := len(w.messages(t, e)); got != lanes*each {
		t.Errorf("%d messages of %d outcomes", got, lanes*each)
	}
}

// What settled sends back by itself is told to who opened the recharge order, as that it was suspended is; a person's return is told to them.
func TestReturnThatSettledAsksForIsToldToWhoOpenedTheOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop, _, err := w.registry.Add(t.Context(), NewEndpoint{Producer: "shop", URL: "http://127.0.0.1:1",
		Events: []Event{RechargeSuspended, RefundChannelSucceeded}, By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, `INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer, expires_at)
		VALUES ($1, 'rc1', 'u1', 'wechat', 1000, 'S0000001', 'shop', now() + interval '1 hour')`, tasks.BookOf("u1", 4))
	for _, receipt := range w.Hear(t, &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: "wx2", OutTradeNo: "S0000001",
		Amount: ledgertest.Yuan("10.00"), Cause: tasks.SecondPayment, UserID: "u1", RechargeID: "rc1", OccurredAt: noon}) {
		w.Apply(t, receipt)
	}
	w.Settle(t)
	var number, caseID string
	if err := w.DB.Pool.QueryRow(t.Context(), "SELECT key, payload ->> 'case_id' FROM requests WHERE kind = 'refund:send'").Scan(&number, &caseID); err != nil {
		t.Fatal(err)
	}
	w.Do(t, &tasks.RefundResult{Number: number, CaseID: caseID, Channel: tasks.SourceWeChat, Amount: ledgertest.Yuan("10.00"),
		Result: tasks.RefundSucceeded, OccurredAt: noon})
	w.gatherAll(t)
	if diff := cmp.Diff([]string{"1 recharge.suspended wechat/wx2 waiting", "2 refund.channel_succeeded " + number + " waiting"},
		w.told(t, shop)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
