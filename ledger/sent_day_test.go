package ledger_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// limitTo sets the policy's limits of a day.
func limitTo(t *testing.T, db *pgtest.Database, yuan string, transfers int) {
	t.Helper()
	policy := tasks.DefaultPolicy()
	policy.TransferredPerDayMax, policy.TransfersPerDayMax = ledgertest.Yuan(yuan), transfers
	if _, err := ledger.SetPolicy(t.Context(), db.Pool, policy, "ada"); err != nil {
		t.Fatal(err)
	}
}

// sentOn is what is counted of a user's date, in fen and transfers.
func sentOn(t *testing.T, db *pgtest.Database, user, date string) (fen int64, transfers int) {
	t.Helper()
	if err := db.Owner.QueryRow(t.Context(), `SELECT coalesce(sum(sent_fen), 0)::bigint, coalesce(sum(transfers), 0)::int FROM sent_days
		WHERE user_id = $1 AND business_date = $2`, user, date).Scan(&fen, &transfers); err != nil {
		t.Fatal(err)
	}
	return fen, transfers
}

// sending is a decided transfer, and where in its book's journal it was decided.
type sending struct {
	Key     string
	Applied bool
	Reason  string
	First   int64 // number of its first transfer, or of the next one when it was refused
	Fen     int64
}

const sendingsSQL = `
SELECT r.key, o.result = 'applied', coalesce(o.reason, ''), o.first_transfer, ((r.payload ->> 'amount')::numeric * 100)::bigint
FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
WHERE r.kind = 'transfer:send' AND r.payload ->> 'from_user_id' = $1 AND r.business_date = $2`

// sendings lists a user's transfers of a date in the order in which they were decided.
func sendings(t *testing.T, db *pgtest.Database, user, date string) []sending {
	t.Helper()
	rows, err := db.Pool.Query(t.Context(), sendingsSQL, user, date)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sending])
	if err != nil {
		t.Fatal(err)
	}
	order := func(s sending) int { // a refusal that stands where a transfer begins was decided before it
		if s.Applied {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b sending) int { return cmp.Or(cmp.Compare(a.First, b.First), order(a)-order(b)) })
	return list
}

// judgeSendings replays a user's transfers of a date in the order of the journal, and returns what was sent, in fen, and how many were applied
// and refused.
func judgeSendings(t *testing.T, db *pgtest.Database, user, date string, most int64, mostTransfers int) (fen int64, transfers, refused int) {
	t.Helper()
	for _, s := range sendings(t, db, user, date) {
		fits := fen+s.Fen <= most && transfers < mostTransfers
		if s.Applied != fits || !s.Applied && s.Reason != string(tasks.TransferLimit) {
			t.Errorf("%s of %d fen: applied %v (%s) after %d fen in %d transfers of %s on %s", s.Key, s.Fen, s.Applied, s.Reason, fen, transfers,
				user, date)
		}
		if s.Applied {
			fen += s.Fen
			transfers++
		} else {
			refused++
		}
	}
	if counted, n := sentOn(t, db, user, date); counted != fen || n != transfers {
		t.Errorf("%s on %s: counted are %d fen in %d, sent %d in %d", user, date, counted, n, fen, transfers)
	}
	return fen, transfers, refused
}

// Transfers of the last moment of a day and the first of the next are decided by two workers at once, many to a batch and each more than
// once. Each date has its own limits, is never beyond them, and refuses nothing that would have fitted.
func TestTransfersThatRaceAcrossMidnightFillEachDayAndNoMore(t *testing.T) {
	t.Parallel()
	const racers, each, most, mostTransfers = 12, 14, 40_00, 30
	b := ledgertest.OpenOn(t, pgtest.New(t, pgtest.MaxConns(12)))
	second := ledgertest.OpenOn(t, b.DB)
	limitTo(t, b.DB, "40.00", mostTransfers)
	midnight := time.Date(2026, 3, 3, 0, 0, 0, 0, clock.Shanghai)
	days := map[string]time.Time{"2026-03-02": midnight.Add(-time.Millisecond), "2026-03-03": midnight}
	senders := []string{userIn(0, 0), userIn(3, 0)}
	for _, user := range senders {
		ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r-"+user, user, "10000.00"))...)
	}
	var racing sync.WaitGroup
	for racer := range racers {
		racing.Go(func() {
			workers := []*ledgertest.Books{b, second}
			for i := range each {
				from := senders[rand.IntN(2)]
				transfer := ledgertest.Transfer(fmt.Sprintf("t%d-%d", racer, i), from, []string{userIn(0, 1), userIn(1, 0)}[rand.IntN(2)],
					money.FromFen(1+rand.Int64N(2_50)).String())
				transfer.OccurredAt = []time.Time{midnight.Add(-time.Millisecond), midnight}[rand.IntN(2)]
				receipt, err := workers[racer%2].Client.Enqueue(t.Context(), transfer)
				if err != nil {
					t.Error(err)
					return
				}
				for _, worker := range []*ledgertest.Books{workers[i%2], workers[(i+1)%2]} {
					if _, err := worker.Ledger.Apply(t.Context(), receipt.Book, receipt.ID); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	racing.Wait()
	decided, refused := 0, 0
	for _, user := range senders {
		for date, at := range days {
			fen, transfers, turnedAway := judgeSendings(t, b.DB, user, date, most, mostTransfers)
			decided, refused = decided+transfers+turnedAway, refused+turnedAway
			// What is left is sent to the fen, and then nothing more.
			if fen < most && transfers < mostTransfers {
				last := ledgertest.Transfer("last-"+user+date, user, "eve", money.FromFen(most-fen).String())
				last.OccurredAt = at
				ledgertest.Applied(t, b.Do(t, last)...)
			}
			beyond := ledgertest.Transfer("beyond-"+user+date, user, "eve", "0.01")
			beyond.OccurredAt = at
			ledgertest.RejectedFor(t, b.Do(t, beyond)[0], tasks.TransferLimit)
		}
	}
	if decided != racers*each || refused == 0 || refused == decided {
		t.Errorf("of %d transfers %d were decided and %d refused: the race proves nothing", racers*each, decided, refused)
	}
	b.Settle(t)
	second.Settle(t)
}

// A sends to B, who pays an order by balance, has it refunded to the balance, and sends it back. Each turn looks like trade; a day ends it.
// Others go on as ever, and no money is lost on the way.
func TestLoopOfTransfersAndRefundsTripsTheLimit(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("ra", "ann", "900.00"), ledgertest.Recharge("rb", "bob", "200.00"))...)
	turns := 0
	for {
		id := fmt.Sprint(turns)
		there := b.Do(t, ledgertest.Transfer("there"+id, "ann", "bob", "900.00"))
		b.Settle(t)
		if there[0].Outcome.Result != tasks.Applied {
			ledgertest.RejectedFor(t, there[0], tasks.TransferLimit)
			break
		}
		back := ledgertest.Refund("rf"+id, "o"+id, "bob", "900.00")
		back.To = tasks.ToBalance
		ledgertest.Applied(t, b.Do(t, ledgertest.Payment("o"+id, "bob", ledgertest.Leg(tasks.SourceCash, "900.00")), back,
			ledgertest.Transfer("back"+id, "bob", "ann", "900.00"))...)
		b.Settle(t)
		if turns++; turns > 20 {
			t.Fatal("the loop goes on for ever")
		}
	}
	if turns != 5 { // 4500.00 were sent, a sixth turn would make it 5400.00
		t.Errorf("the loop was stopped after %d turns, want 5", turns)
	}
	b.Expect(t, ledger.UserCash("ann"), "900.00")
	b.Expect(t, ledger.UserCash("bob"), "200.00")
	b.Expect(t, ledger.MerchantPayable("m1"), "0.00")
	// Usual traffic of the same day is not touched: theirs, of what is left, and others'.
	ledgertest.Applied(t, b.Do(t, ledgertest.Transfer("rest", "ann", "cyd", "500.00"), ledgertest.Payment("o", "bob",
		ledgertest.Leg(tasks.SourceCash, "200.00")), ledgertest.Recharge("rd", "dan", "1000.00"))...)
	for i := range 10 {
		ledgertest.Applied(t, b.Do(t, ledgertest.Transfer(fmt.Sprint("usual", i), "dan", "cyd", "100.00"))...)
	}
	b.Settle(t)
	b.Expect(t, ledger.UserCash("cyd"), "1500.00")
	tomorrow := ledgertest.Transfer("tomorrow", "ann", "bob", "400.00")
	tomorrow.OccurredAt = ledgertest.Noon.AddDate(0, 0, 1)
	ledgertest.Applied(t, b.Do(t, tomorrow)...)
	b.Settle(t)
}

// A loop of small sums trips the number of transfers.
func TestLoopOfSmallTransfersTripsTheNumber(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("ra", "ann", "1.00"))...)
	var payloads []tasks.Payload
	for i := range 51 {
		payloads = append(payloads, ledgertest.Transfer(fmt.Sprint("there", i), "ann", "bob", "0.01"))
	}
	answers := b.Do(t, payloads...)
	ledgertest.Applied(t, answers[:50]...)
	ledgertest.RejectedFor(t, answers[50], tasks.TransferLimit)
	b.Settle(t)
	b.Expect(t, ledger.UserCash("bob"), "0.50")
}

// Later transfers of one batch see the earlier ones, and the refusal is final: neither a larger limit nor the next day turns it.
func TestTransferRefusedForTheLimitStaysRefused(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	limitTo(t, b.DB, "10.00", 5)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "100.00"))...)
	receipts := b.Accept(t, ledgertest.Transfer("t1", "u1", "u2", "6.00"), ledgertest.Transfer("t2", "u1", "u2", "6.00"),
		ledgertest.Transfer("t3", "u1", "u2", "4.00"))
	first := b.Apply(t, receipts...)
	ledgertest.Applied(t, first[0], first[2])
	ledgertest.RejectedFor(t, first[1], tasks.TransferLimit)
	if want := "needed 6.00, left 4.00 in 4 transfers; a day has 10.00 in 5, sent on 2026-03-02 were 6.00 in 1"; first[1].Outcome.Detail != want {
		t.Errorf("detail %q, want %q", first[1].Outcome.Detail, want)
	}
	limitTo(t, b.DB, "1000.00", 50)
	again := b.Apply(t, receipts[1])[0]
	if !again.Replay || again.Outcome != first[1].Outcome {
		t.Errorf("a replay of %+v is %+v", first[1], again)
	}
	asked := b.Accept(t, ledgertest.Transfer("t2", "u1", "u2", "6.00"))[0]
	if asked.Status != tasks.Replayed || asked.Outcome == nil || asked.Outcome.Reason != tasks.TransferLimit {
		t.Errorf("asked again: %+v", asked)
	}
	ledgertest.Applied(t, b.Do(t, ledgertest.Transfer("t4", "u1", "u2", "6.00"))...)
	if fen, n := sentOn(t, b.DB, "u1", "2026-03-02"); fen != 16_00 || n != 3 {
		t.Errorf("counted are %d fen in %d", fen, n)
	}
	b.Settle(t)
}

// Whoever changes or begins a user's day without the book's lock, the batch that read it before writes nothing over it.
func TestDayThatIsChangedBehindTheLockIsReadAgain(t *testing.T) {
	t.Parallel()
	all := rules.All()
	sendRule := all[slices.IndexFunc(all, func(rule ledger.Rule) bool { return rule.Kind() == tasks.TransferSend })]
	for name, c := range map[string]struct {
		before   []tasks.Payload
		meddling [2]string // done, and taken back
	}{
		"changed": {[]tasks.Payload{ledgertest.Transfer("t0", "u1", "u2", "1.00")},
			[2]string{"UPDATE sent_days SET sent_fen = sent_fen + 1", "UPDATE sent_days SET sent_fen = sent_fen - 1"}},
		"begun": {nil, [2]string{`INSERT INTO sent_days (book, business_date, user_id, sent_fen, transfers)
			SELECT book, business_date, 'u1', 1, 1 FROM requests WHERE key = 't1'`, "DELETE FROM sent_days"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b *ledgertest.Books
			var tries atomic.Int32
			meddled := ledger.NewDatedRule(
				func(p *tasks.Transfer, date string, r *ledger.Reads) {
					r.Account(ledger.UserCash(p.FromUserID))
					r.Account(ledger.UserCash(p.ToUserID))
					r.SentDay(p.FromUserID, date)
				},
				func(s *ledger.State, request *ledger.Request, p *tasks.Transfer) ledger.Decision {
					if try := tries.Add(1); p.TransferID == "t1" && int(try) <= len(c.before)+2 {
						if _, err := b.DB.Owner.Exec(t.Context(), c.meddling[int(try)-len(c.before)-1]); err != nil {
							t.Error(err)
						}
					}
					return sendRule.Decide(s, request)
				})
			b = ledgertest.Open(t, ledgertest.WithRules(rulesWith(meddled)...))
			ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"))...)
			ledgertest.Applied(t, b.Do(t, append(c.before, ledgertest.Transfer("t1", "u1", "u2", "4.00"))...)...)
			if got, want := int(tries.Load()), len(c.before)+3; got != want {
				t.Errorf("decided %d times, want %d", got, want)
			}
			b.Settle(t)
		})
	}
}

// A worker of a version before days were counted runs beside newer ones. What it applies is not counted, which is no broken book; what newer
// ones apply is, before and after it.
func TestTransfersOfAnOlderWorkerAreNoBrokenBooks(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "100.00"))...)
	send := func(id string) { ledgertest.Applied(t, b.Do(t, ledgertest.Transfer(id, "u1", "u2", "3.00"))...) }
	exec := func(sql string) {
		t.Helper()
		if _, err := b.DB.Owner.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	broken := func() string {
		t.Helper()
		report, err := b.Reader.Audit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if found := report.FirstBroken(); found != nil {
			return found.Invariant
		}
		return ""
	}
	send("t1")
	exec("CREATE TABLE counted AS SELECT * FROM sent_days; CREATE TABLE numbered AS SELECT book, counted_from, counted_to FROM books")
	send("t2") // an older worker's: it leaves the day and what is counted as they were
	exec(`UPDATE sent_days d SET sent_fen = c.sent_fen, transfers = c.transfers FROM counted c WHERE c.user_id = d.user_id;
		UPDATE books b SET counted_from = n.counted_from, counted_to = n.counted_to FROM numbered n WHERE n.book = b.book`)
	if found := broken(); found != "" {
		t.Errorf("%s is broken while an older worker runs", found)
	}
	exec("CREATE TABLE kept AS SELECT * FROM sent_days; DELETE FROM sent_days")
	if found := broken(); found != "I12" {
		t.Errorf("a newer worker's transfer is not counted, and %q is found", found)
	}
	exec("INSERT INTO sent_days SELECT * FROM kept")
	send("t3")
	if fen, n := sentOn(t, b.DB, "u1", "2026-03-02"); fen != 6_00 || n != 2 || broken() != "" {
		t.Errorf("counted are %d fen in %d, broken %q", fen, n, broken())
	}
	exec("UPDATE sent_days SET transfers = 4, sent_fen = 1200")
	if found := broken(); found != "I12" {
		t.Errorf("more is counted than was sent, and %q is found", found)
	}
	exec("UPDATE sent_days SET transfers = 2, sent_fen = 600")
	b.Settle(t)
}

// statementsOnDays counts what a pool sends that names sent_days.
type statementsOnDays struct{ count atomic.Int64 }

// TraceQueryStart implements pgx.QueryTracer.
func (s *statementsOnDays) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	s.look(query.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*statementsOnDays) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (*statementsOnDays) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (s *statementsOnDays) TraceBatchQuery(_ context.Context, _ *pgx.Conn, query pgx.TraceBatchQueryData) {
	s.look(query.SQL)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (*statementsOnDays) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (s *statementsOnDays) look(sql string) {
	if strings.Contains(sql, "sent_days") {
		s.count.Add(1)
	}
}

func TestOnlyBatchesWithTransfersLookAtDays(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	b := ledgertest.OpenOn(t, db)
	var seen statementsOnDays
	pool, err := postgres.Open(t.Context(), db.URL, postgres.Configure(func(c *pgxpool.Config) { c.ConnConfig.Tracer = &seen }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	traced, err := ledger.Open(t.Context(), pool, ledger.Config{Rules: rules.All()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(traced.Close)
	apply := func(payloads ...tasks.Payload) {
		t.Helper()
		for _, receipt := range b.Accept(t, payloads...) {
			answers, err := traced.Apply(t.Context(), receipt.Book, receipt.ID)
			if err != nil {
				t.Fatal(err)
			}
			ledgertest.Applied(t, answers...)
		}
	}
	apply(ledgertest.Recharge("r1", "u1", "10.00"), ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "5.00")),
		ledgertest.Refund("rf1", "o1", "u1", "1.00"))
	if n := seen.count.Load(); n != 0 {
		t.Errorf("%d statements without a transfer", n)
	}
	apply(ledgertest.Transfer("t1", "u1", "u2", "1.00"))
	if n := seen.count.Load(); n != 2 {
		t.Errorf("%d statements for a transfer, want one to read and one to write", n)
	}
}
