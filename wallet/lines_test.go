package wallet

import (
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func amounts(fen ...int64) []money.Amount {
	list := make([]money.Amount, len(fen))
	for i, f := range fen {
		list[i] = money.FromFen(f)
	}
	return list
}

func sum(list []money.Amount) money.Amount {
	var total money.Amount
	for _, amount := range list {
		total = total.Add(amount)
	}
	return total
}

func TestSpreadKeepsRowsAndColumns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows, columns []money.Amount
		want          [][]money.Amount
	}{
		"in proportion":            {amounts(60, 40), amounts(80, 20), [][]money.Amount{amounts(48, 12), amounts(32, 8)}},
		"one column takes all":     {amounts(7, 0, 5), amounts(12), [][]money.Amount{amounts(7), amounts(0), amounts(5)}},
		"one row takes all":        {amounts(12), amounts(5, 0, 7), [][]money.Amount{amounts(5, 0, 7)}},
		"many rows of a fen":       {amounts(1, 1, 1, 1), amounts(2, 2), [][]money.Amount{amounts(1, 0), amounts(0, 1), amounts(1, 0), amounts(0, 1)}},
		"a column of zero":         {amounts(3, 3), amounts(3, 0, 3), [][]money.Amount{amounts(2, 0, 1), amounts(1, 0, 2)}},
		"nothing in nothing":       {amounts(0, 0), amounts(0, 0), [][]money.Amount{amounts(0, 0), amounts(0, 0)}},
		"the largest amount there": {amounts(money.MaxFen-1, 1), amounts(1, money.MaxFen-1), [][]money.Amount{amounts(1, money.MaxFen-2), amounts(0, 1)}},
	} {
		if diff := cmp.Diff(c.want, spread(c.rows, c.columns)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// drawParts draws amounts that add up to total.
func drawParts(t *rapid.T, label string, total money.Amount, most int) []money.Amount {
	cuts := rapid.SliceOfN(rapid.Int64Range(0, total.Fen()), 0, most-1).Draw(t, label)
	cuts = append(cuts, 0, total.Fen())
	slices.Sort(cuts)
	parts := make([]money.Amount, len(cuts)-1)
	for i := range parts {
		parts[i] = money.FromFen(cuts[i+1] - cuts[i])
	}
	return parts
}

func TestSpreadIsExactOnBothSidesAndNeverDrifts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := money.FromFen(rapid.Int64Range(1, money.MaxFen).Draw(t, "total"))
		rows, columns := drawParts(t, "rows", total, 40), drawParts(t, "columns", total, 6)
		table := spread(rows, columns)
		for i, row := range rows {
			if sum(table[i]) != row {
				t.Errorf("row %d of %v is %v, want %v", i, table, sum(table[i]), row)
			}
		}
		var asked int64
		running := make([]int64, len(columns))
		for i := range rows {
			asked += rows[i].Fen()
			for j, column := range columns {
				if table[i][j].IsNegative() {
					t.Fatalf("cell %d, %d of %v is negative", i, j, table)
				}
				running[j] += table[i][j].Fen()
				// |running - asked*column/total| <= (columns-1)/2, both sides times 2*total.
				off := new(big.Int).Sub(product(running[j], total.Fen()), product(asked, column.Fen()))
				if off.Lsh(off.Abs(off), 1).Cmp(product(int64(len(columns)-1), total.Fen())) > 0 {
					t.Errorf("column %d of %v drifts after row %d", j, table, i)
				}
			}
		}
		for j, column := range columns {
			if running[j] != column.Fen() {
				t.Errorf("column %d of %v is %d fen, want %v", j, table, running[j], column)
			}
		}
	})
}

func product(a, b int64) *big.Int { return new(big.Int).Mul(big.NewInt(a), big.NewInt(b)) }

// drawPayment draws a payment that acceptance would take: lines add up to the legs, coupons lower them.
func drawPayment(t *rapid.T) *tasks.Payment {
	sources := rapid.Permutation([]tasks.Source{tasks.SourceCash, tasks.SourceReward, tasks.SourceWeChat, tasks.SourceAlipay,
		tasks.SourceECNY}).Draw(t, "sources")
	p := &tasks.Payment{OrderID: "o1", UserID: "ada", MerchantID: "shop"}
	total := money.FromFen(rapid.Int64Range(1, 1_000_000).Draw(t, "total"))
	for _, amount := range drawParts(t, "legs", total, len(sources)) {
		if amount.IsPositive() {
			p.Legs = append(p.Legs, tasks.Leg{Source: sources[len(p.Legs)], Amount: amount})
		}
	}
	coupon := money.FromFen(rapid.SampledFrom([]int64{0, 0, 1, 500, 123_456}).Draw(t, "coupon"))
	kinds := rapid.SampledFrom([]tasks.LineKind{tasks.Goods, tasks.Goods, tasks.Shipping, tasks.Virtual})
	for i, amount := range drawParts(t, "lines", total.Add(coupon), 12) {
		if amount.IsPositive() {
			p.Lines = append(p.Lines, tasks.Line{LineID: string(rune('a' + i)), Kind: kinds.Draw(t, "kind"), Amount: amount})
		}
	}
	if coupon.IsPositive() {
		at := rapid.IntRange(0, len(p.Lines)).Draw(t, "coupon at")
		p.Lines = slices.Insert(p.Lines, at, tasks.Line{LineID: "coupon", Kind: tasks.Coupon, Amount: coupon})
	}
	return p
}

func TestAllocationIsExactAndKeepsTheBalanceOffExcludedLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPayment(t)
		s := ledger.NewState(0, 1, tasks.DefaultPolicy())
		s.PutAccount(ledger.UserCash("ada"), money.FromFen(money.MaxFen))
		s.PutAccount(ledger.UserReward("ada"), money.FromFen(money.MaxFen))
		var balance, excluded money.Amount
		for _, leg := range p.Legs {
			if leg.Source.IsBalance() {
				balance = balance.Add(leg.Amount)
			}
		}
		shares := lineShares(p)
		for i, line := range p.Lines {
			if line.Kind == tasks.Virtual {
				excluded = excluded.Add(shares[i])
			}
		}
		d := PaymentCapture().Decide(s, &ledger.Request{Payload: p})
		if tooMuch := balance.Add(excluded).Cmp(p.Total()) > 0 && balance.IsPositive(); tooMuch || !d.Applied() {
			if !tooMuch || d.Reason() != tasks.ExcludedLines {
				t.Fatalf("balance pays %v, excluded lines cost %v of %v: applied %v, %q", balance, excluded, p.Total(), d.Applied(), d.Reason())
			}
			return
		}
		checkAllocation(t, d.Orders[0], shares)
	})
}

func checkAllocation(t *rapid.T, order *ledger.Order, shares []money.Amount) {
	perLeg := make([]money.Amount, len(order.Legs))
	for i, line := range order.Lines {
		if sum(line.Allocated) != shares[i] || len(line.Refunded) != len(order.Legs) {
			t.Errorf("line %s is allocated %v, want %v in all", line.ID, line.Allocated, shares[i])
		}
		if line.Kind != tasks.Coupon && shares[i].Cmp(line.Amount) > 0 {
			t.Errorf("line %s costs %v, and %v were paid for it", line.ID, line.Amount, shares[i])
		}
		for j, part := range line.Allocated {
			perLeg[j] = perLeg[j].Add(part)
			if part.IsNegative() || part.IsPositive() && line.Kind == tasks.Virtual && order.Legs[j].Source.IsBalance() {
				t.Errorf("line %s is allocated %v of leg %d (%s)", line.ID, part, j, order.Legs[j].Source)
			}
		}
	}
	for j, leg := range order.Legs {
		if perLeg[j] != leg.Captured {
			t.Errorf("lines are allocated %v of leg %d, which captured %v", perLeg[j], j, leg.Captured)
		}
	}
}
