package refund

import (
	"slices"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Split says how much of an amount each leg of an order gives back, in the order of the legs, when no lines are named. The parts add
// up to the amount, or to what remains of the order where that is less; the caller compares. It changes nothing.
func Split(order *ledger.Order, amount money.Amount, how tasks.RefundSplit) []money.Amount {
	parts := make([]money.Amount, len(order.Legs))
	for _, belongs := range inTurn(how) {
		remaining := make([]money.Amount, len(order.Legs))
		for i, leg := range order.Legs {
			if belongs(leg.Source) {
				remaining[i] = leg.Remaining()
			}
		}
		for i, part := range money.SplitCapped(amount, remaining, remaining) {
			parts[i] = parts[i].Add(part)
			amount = amount.Sub(part)
		}
	}
	return parts
}

// inTurn groups the legs: a group gives back only what those before it cannot.
func inTurn(how tasks.RefundSplit) []func(tasks.Source) bool {
	isChannel := func(source tasks.Source) bool { return !source.IsBalance() }
	switch how {
	case tasks.ExternalFirst:
		return []func(tasks.Source) bool{isChannel, tasks.Source.IsBalance}
	case tasks.BalanceFirst:
		return []func(tasks.Source) bool{tasks.Source.IsBalance, isChannel}
	case tasks.Proportional:
	}
	return []func(tasks.Source) bool{func(tasks.Source) bool { return true }}
}

// SplitLines says how much each leg of an order gives back for each of the lines, one row per line in the order given, an entry per
// leg. A line that the order does not have, and what exceeds a line or the order, is left out; the caller compares. It changes
// nothing.
//
// Lines first take what their own allocation has left. What a leg can no longer give of it, because a refund without lines was
// there before, comes from the other legs that paid the line, then from any leg of the order.
func SplitLines(order *ledger.Order, lines []tasks.LineRefund) [][]money.Amount {
	rows := make([][]money.Amount, len(lines))
	missing := make([]money.Amount, len(lines))
	found := make([]*ledger.Line, len(lines))
	for i, asked := range lines {
		rows[i] = make([]money.Amount, len(order.Legs))
		if line, ok := order.Line(asked.LineID); ok {
			found[i], missing[i] = line, money.Min(asked.Amount, LineRemaining(line))
		}
	}
	room := make([]money.Amount, len(order.Legs))
	for j, leg := range order.Legs {
		room[j] = leg.Remaining()
	}
	for _, reach := range []reachFunc{allocationLeft, legsOfLine, everyLeg} {
		for i, line := range found {
			if missing[i].IsPositive() {
				take(rows[i], &missing[i], room, reach(line, room))
			}
		}
	}
	return rows
}

// LineRemaining is what can still be refunded of a line: what was paid for it, less what went back for it.
func LineRemaining(line *ledger.Line) money.Amount {
	var remaining money.Amount
	for j, allocated := range line.Allocated {
		remaining = remaining.Add(allocated).Sub(line.Refunded[j])
	}
	return remaining
}

// reachFunc says how much a line may take of each leg.
type reachFunc func(line *ledger.Line, room []money.Amount) []money.Amount

// allocationLeft is what each leg paid of the line and has not given back for it.
func allocationLeft(line *ledger.Line, _ []money.Amount) []money.Amount {
	left := make([]money.Amount, len(line.Allocated))
	for j, allocated := range line.Allocated {
		if line.Refunded[j].Cmp(allocated) < 0 {
			left[j] = allocated.Sub(line.Refunded[j])
		}
	}
	return left
}

func legsOfLine(line *ledger.Line, room []money.Amount) []money.Amount {
	reach := slices.Clone(room)
	for j, allocated := range line.Allocated {
		if allocated.IsZero() {
			reach[j] = allocated
		}
	}
	return reach
}

func everyLeg(_ *ledger.Line, room []money.Amount) []money.Amount { return slices.Clone(room) }

// take moves what is missing from the room of the legs to the row, in proportion to the reach and within it.
func take(row []money.Amount, missing *money.Amount, room, reach []money.Amount) {
	caps := make([]money.Amount, len(room))
	for j := range room {
		caps[j] = money.Min(room[j], reach[j])
	}
	for j, part := range money.SplitCapped(*missing, reach, caps) {
		row[j] = row[j].Add(part)
		room[j] = room[j].Sub(part)
		*missing = missing.Sub(part)
	}
}
