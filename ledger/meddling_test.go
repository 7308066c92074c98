package ledger_test

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// Whoever changes a row without the book's lock, the batch that read it before writes nothing over it: it runs again with fresh reads.
func TestRowThatIsChangedBehindTheLockIsReadAgain(t *testing.T) {
	t.Parallel()
	all := rules.All()
	refundRule := all[slices.IndexFunc(all, func(rule ledger.Rule) bool { return rule.Kind() == tasks.RefundApply })]
	for name, meddling := range map[string]string{
		"account": "UPDATE accounts SET balance_fen = balance_fen + $1, version = version + $1 WHERE name = 'user/u1/cash'",
		"leg":     "UPDATE legs SET refunded_fen = refunded_fen + $1 WHERE order_id = 'o1'",
		"line":    "UPDATE order_lines SET refunded_fen[1] = refunded_fen[1] + $1 WHERE order_id = 'o1'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b *ledgertest.Books
			var tries atomic.Int32
			meddled := ledger.NewRule(
				func(p *tasks.Refund, r *ledger.Reads) { r.OrderWithLines(p.OrderID) },
				func(s *ledger.State, request *ledger.Request, _ *tasks.Refund) ledger.Decision {
					// All is read. The first try meddles, the second takes that back: the third is left alone.
					if change := []int{1, -1, 0}[min(tries.Add(1), 3)-1]; change != 0 {
						if _, err := b.DB.Owner.Exec(t.Context(), meddling, change); err != nil {
							t.Error(err)
						}
					}
					return refundRule.Decide(s, request)
				})
			b = ledgertest.Open(t, ledgertest.WithRules(rulesWith(meddled)...))
			payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "10.00"))
			payment.Lines = []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: ledgertest.Yuan("10.00")}}
			back := ledgertest.Refund("rf1", "o1", "u1", "4.00")
			back.Lines = []tasks.LineRefund{{LineID: "l1", Amount: ledgertest.Yuan("4.00")}}
			ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "10.00"), payment, back)...)
			if got := tries.Load(); got != 3 {
				t.Errorf("decided %d times, want 3", got)
			}
			b.Expect(t, ledger.UserCash("u1"), "4.00")
		})
	}
}
