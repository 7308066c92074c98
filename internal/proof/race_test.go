package proof_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// verdict is what became of one refund, and where in the book's journal it was decided.
type verdict struct {
	Key     string
	Applied bool
	Reason  string
	First   int64 // number of its first transfer, or of the next one when it was refused
	Fen     int64
}

const verdictsSQL = `
SELECT r.key, o.result = 'applied', coalesce(o.reason, ''), o.first_transfer, ((r.payload ->> 'amount')::numeric * 100)::bigint
FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
WHERE r.kind = 'refund:apply' AND r.payload ->> 'order_id' = $1`

// Partial refunds race over what remains of one order. What is given back is never more than was captured, and no refund is
// refused for which there was room at its turn.
func TestRefundsThatRaceForOneOrderAreNeitherTooManyNorNeedlesslyRefused(t *testing.T) {
	t.Parallel()
	const racers, each, captured = 16, 25, 10_000
	b := ledgertest.OpenOn(t, pgtest.New(t, pgtest.MaxConns(12)))
	second := ledgertest.OpenOn(t, b.DB)
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "100.00"), ledgertest.Reward("w1", "u1", "100.00"),
		ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "49.99"), ledgertest.Leg(tasks.SourceReward, "20.01"),
			ledgertest.Leg(tasks.SourceWeChat, "29.99"), ledgertest.Leg(tasks.SourceAlipay, "0.01")))...)
	var racing sync.WaitGroup
	for racer := range racers {
		racing.Go(func() {
			books := []*ledgertest.Books{b, second}
			for i := range each {
				refund := ledgertest.Refund(fmt.Sprintf("rf%d-%d", racer, i), "o1", "u1", money.FromFen(1+rand.Int64N(97)).String())
				receipt, err := books[racer%2].Client.Enqueue(t.Context(), refund)
				if err != nil {
					t.Error(err)
					return
				}
				// Each is told to two workers.
				for _, books := range []*ledgertest.Books{books[i%2], books[(i+1)%2]} {
					if _, err := books.Ledger.Apply(t.Context(), receipt.Book, receipt.ID); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	racing.Wait()
	remaining := captured - judgeRefunds(t, b, racers*each, captured)
	// What remains is given back to the fen, and then nothing more.
	if remaining > 0 {
		ledgertest.Applied(t, b.Do(t, ledgertest.Refund("last", "o1", "u1", money.FromFen(remaining).String()))...)
	}
	ledgertest.RejectedFor(t, b.Do(t, ledgertest.Refund("beyond", "o1", "u1", "0.01"))[0], tasks.ExceedsRefundable)
	b.Expect(t, ledger.UserCash("u1"), "100.00")
	b.Expect(t, ledger.UserReward("u1"), "100.00")
	b.Expect(t, ledger.MerchantPayable("m1"), "0.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "29.99")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceAlipay), "0.01")
}

// judgeRefunds replays the refunds in the order of the journal and returns what was given back, in fen.
func judgeRefunds(t *testing.T, b *ledgertest.Books, asked int, captured int64) (refunded int64) {
	t.Helper()
	rows, err := b.DB.Pool.Query(t.Context(), verdictsSQL, "o1")
	if err != nil {
		t.Fatal(err)
	}
	verdicts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[verdict])
	if err != nil {
		t.Fatal(err)
	}
	// A refusal that stands where a transfer begins was decided before it.
	slices.SortFunc(verdicts, func(a, b verdict) int {
		if a.First != b.First {
			return int(a.First - b.First)
		}
		if a.Applied == b.Applied {
			return 0
		}
		if a.Applied {
			return 1
		}
		return -1
	})
	refusals := 0
	for _, v := range verdicts {
		fits := refunded+v.Fen <= captured
		switch {
		case v.Applied && !fits:
			t.Errorf("%s gives %d fen back, and %d remained", v.Key, v.Fen, captured-refunded)
		case !v.Applied && (fits || v.Reason != string(tasks.ExceedsRefundable)):
			t.Errorf("%s of %d fen was refused for %s, and %d remained", v.Key, v.Fen, v.Reason, captured-refunded)
		case !v.Applied:
			refusals++
		}
		if v.Applied {
			refunded += v.Fen
		}
	}
	if len(verdicts) != asked || refusals == 0 || refusals == asked {
		t.Errorf("of %d refunds %d were decided and %d refused: the race proves nothing", asked, len(verdicts), refusals)
	}
	return refunded
}
