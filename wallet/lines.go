package wallet

import (
	"slices"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// lineShares is what was paid for each line: its price less its part of the coupons, which lower all other lines in proportion, by
// largest remainder. A coupon's own share is zero. The shares add up to what the legs paid.
func lineShares(p *tasks.Payment) []money.Amount {
	if len(p.Lines) == 0 {
		return nil
	}
	prices := make([]money.Amount, len(p.Lines))
	for i, line := range p.Lines {
		if line.Kind != tasks.Coupon {
			prices[i] = line.Amount
		}
	}
	return money.Split(p.Total(), prices)
}

// allocateLines says what each leg paid of each line. Lines that exclude the balance come first and take from the channels' legs
// in proportion; the other lines share what the legs have left. The caller has seen that the channels can pay the excluded lines.
func allocateLines(p *tasks.Payment, shares []money.Amount, excluded []tasks.LineKind) []ledger.Line {
	if len(p.Lines) == 0 {
		return nil
	}
	var barred money.Amount
	barredShares, openShares := make([]money.Amount, len(shares)), make([]money.Amount, len(shares))
	for i, line := range p.Lines {
		if slices.Contains(excluded, line.Kind) {
			barredShares[i], barred = shares[i], barred.Add(shares[i])
		} else {
			openShares[i] = shares[i]
		}
	}
	channels, left := make([]money.Amount, len(p.Legs)), make([]money.Amount, len(p.Legs))
	for j, leg := range p.Legs {
		left[j] = leg.Amount
		if !leg.Source.IsBalance() {
			channels[j] = leg.Amount
		}
	}
	fromChannels := money.Split(barred, channels)
	for j, part := range fromChannels {
		left[j] = left[j].Sub(part)
	}
	ofBarred, ofOpen := spread(barredShares, fromChannels), spread(openShares, left)
	lines := make([]ledger.Line, len(p.Lines))
	for i, line := range p.Lines {
		lines[i] = ledger.Line{ID: line.LineID, Kind: line.Kind, Amount: line.Amount, Allocated: ofOpen[i],
			Refunded: make([]money.Amount, len(p.Legs))}
		if barredShares[i].IsPositive() {
			lines[i].Allocated = ofBarred[i]
		}
	}
	return lines
}

// spread fills a table whose rows and columns add up to the given amounts, in proportion. Rows and columns have the same total.
//
// Rounding every row by itself would leave the columns off, and rounding the table's cells would leave both. So columns are filled
// one after the other, each with running totals: after every row, the column has its rounded proportion of all rows so far, and a
// cell is what was added since the row before. Rounding keeps the order of amounts, so no cell is negative; the last running totals
// are the column's own amount, so it is exact; the last column takes what is left of every row, so the rows are exact. A column's
// running total is less than half a fen per column from its exact proportion, however many rows there are.
func spread(rows, columns []money.Amount) [][]money.Amount {
	table := make([][]money.Amount, len(rows))
	for i := range table {
		table[i] = make([]money.Amount, len(columns))
	}
	unpaid := slices.Clone(rows)
	for j, column := range columns {
		var rest, asked, paid money.Amount
		for _, later := range columns[j+1:] {
			rest = rest.Add(later)
		}
		for i := range rows {
			asked = asked.Add(unpaid[i])
			running := money.Split(asked, []money.Amount{column, rest})[0]
			table[i][j] = running.Sub(paid)
			unpaid[i] = unpaid[i].Sub(table[i][j])
			paid = running
		}
	}
	return table
}
