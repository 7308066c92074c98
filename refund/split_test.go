package refund_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

func TestSplitFollowsThePolicy(t *testing.T) {
	t.Parallel()
	legs := func(refunded ...int64) *ledger.Order {
		return order(leg(tasks.SourceReward, 10_00, refunded[0]), leg(tasks.SourceWeChat, 20_00, refunded[1]),
			leg(tasks.SourceCash, 70_00, refunded[2]))
	}
	for name, c := range map[string]struct {
		how    tasks.RefundSplit
		order  *ledger.Order
		amount int64
		want   []money.Amount
	}{
		"proportional":                             {tasks.Proportional, legs(0, 0, 0), 30_00, amounts(3_00, 6_00, 21_00)},
		"proportional to what remains":             {tasks.Proportional, legs(10_00, 10_00, 40_00), 20_00, amounts(0, 5_00, 15_00)},
		"one fen goes to the largest remainder":    {tasks.Proportional, legs(0, 0, 0), 1, amounts(0, 0, 1)},
		"the remainder empties every leg":          {tasks.Proportional, legs(9_99, 13_37, 1), 77_00 - 37, amounts(1, 6_63, 69_99)},
		"channels first":                           {tasks.ExternalFirst, legs(0, 0, 0), 15_00, amounts(0, 15_00, 0)},
		"channels first, then balance in portion":  {tasks.ExternalFirst, legs(0, 0, 0), 28_00, amounts(1_00, 20_00, 7_00)},
		"balance first":                            {tasks.BalanceFirst, legs(0, 0, 0), 8_00, amounts(1_00, 0, 7_00)},
		"balance first, then channels":             {tasks.BalanceFirst, legs(0, 0, 0), 81_00, amounts(10_00, 1_00, 70_00)},
		"balance first when only channels remain":  {tasks.BalanceFirst, legs(10_00, 0, 70_00), 1, amounts(0, 1, 0)},
		"more than remains is what remains":        {tasks.Proportional, legs(0, 0, 0), 100_01, amounts(10_00, 20_00, 70_00)},
		"a policy of a later version, by default":  {"by_weekday", legs(0, 0, 0), 30_00, amounts(3_00, 6_00, 21_00)},
		"everything, whatever the order of groups": {tasks.ExternalFirst, legs(0, 0, 0), 100_00, amounts(10_00, 20_00, 70_00)},
	} {
		if diff := cmp.Diff(c.want, refund.Split(c.order, money.FromFen(c.amount), c.how)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSplitOfLinesReversesTheirAllocation(t *testing.T) {
	t.Parallel()
	refunded := func(l ledger.Line, fen ...int64) ledger.Line {
		l.Refunded = amounts(fen...)
		return l
	}
	for name, c := range map[string]struct {
		order *ledger.Order
		lines []tasks.LineRefund
		want  [][]money.Amount
	}{
		"a whole line": {
			withLines(order(leg(tasks.SourceCash, 60, 0), leg(tasks.SourceWeChat, 40, 0)), line("l1", 10, 40), line("l2", 50, 0)),
			[]tasks.LineRefund{lineRefund("l1", 50)}, [][]money.Amount{amounts(10, 40)},
		},
		"half a line, in the line's proportion": {
			withLines(order(leg(tasks.SourceCash, 60, 0), leg(tasks.SourceWeChat, 40, 0)), line("l1", 10, 40), line("l2", 50, 0)),
			[]tasks.LineRefund{lineRefund("l1", 25)}, [][]money.Amount{amounts(5, 20)},
		},
		"the rest of a line": {
			withLines(order(leg(tasks.SourceCash, 60, 7), leg(tasks.SourceWeChat, 40, 1)), refunded(line("l1", 10, 40), 7, 1), line("l2", 50, 0)),
			[]tasks.LineRefund{lineRefund("l1", 42)}, [][]money.Amount{amounts(3, 39)},
		},
		"what a leg no longer has comes from the line's other legs": {
			withLines(order(leg(tasks.SourceCash, 60, 0), leg(tasks.SourceWeChat, 40, 30), leg(tasks.SourceReward, 9, 0)),
				line("l1", 20, 40, 0), line("l2", 40, 0, 9)),
			[]tasks.LineRefund{lineRefund("l1", 60)}, [][]money.Amount{amounts(50, 10, 0)},
		},
		"and then from any leg": {
			withLines(order(leg(tasks.SourceCash, 60, 55), leg(tasks.SourceWeChat, 40, 40), leg(tasks.SourceReward, 9, 0)),
				line("l1", 20, 40, 0), line("l2", 40, 0, 9)),
			[]tasks.LineRefund{lineRefund("l1", 10)}, [][]money.Amount{amounts(5, 0, 5)},
		},
		"a line with its leg intact keeps it though another line must spill": {
			withLines(order(leg(tasks.SourceCash, 20, 15), leg(tasks.SourceWeChat, 20, 0)), line("l1", 20, 0), line("l2", 0, 20)),
			[]tasks.LineRefund{lineRefund("l1", 10), lineRefund("l2", 15)}, [][]money.Amount{amounts(5, 5), amounts(0, 15)},
		},
		"an unknown line, and more than a line has": {
			withLines(order(leg(tasks.SourceCash, 20, 0)), line("l1", 12), line("l2", 8)),
			[]tasks.LineRefund{lineRefund("l9", 1), lineRefund("l1", 13)}, [][]money.Amount{amounts(0), amounts(12)},
		},
	} {
		if diff := cmp.Diff(c.want, refund.SplitLines(c.order, c.lines)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
