package money

import (
	"cmp"
	"math/bits"
	"slices"
)

// Split divides total in proportion to the weights, by largest remainder: each
// part gets its share rounded down, and the fen left over go one each to the
// parts that lost the largest fractions, the earlier part first where fractions
// are equal. The parts add up to total exactly, each is less than a fen from its
// exact share, and a part of weight zero gets nothing. A negative total is split
// as its opposite and negated.
//
// There is no exact answer, and Split returns nil, when a weight is negative,
// when the weights add up to more than 64 bits hold, or when they add up to zero
// and the total does not.
func Split(total Amount, weights []Amount) []Amount {
	whole, ok := sum(weights)
	if !ok || (whole == 0 && total.fen != 0) {
		return nil
	}
	parts := make([]Amount, len(weights))
	if total.fen < 0 {
		share(-uint64(total.fen), weights, whole, parts)
		for i := range parts {
			parts[i].fen = -parts[i].fen
		}
		return parts
	}
	share(uint64(total.fen), weights, whole, parts)
	return parts
}

// SplitCapped divides total in proportion to the weights as [Split] does, but
// gives no part more than its cap: what a full part cannot take goes to those
// with room, again in proportion. Parts of weight zero get nothing until every
// other part is full; what is left then fills them in order. The parts add up to
// total, or to the sum of the caps where that is less; the caller compares.
//
// SplitCapped returns nil when weights and caps differ in number, when total, a
// weight or a cap is negative, or when the weights add up to more than 64 bits hold.
func SplitCapped(total Amount, weights, caps []Amount) []Amount {
	whole, ok := sum(weights)
	if !ok || len(weights) != len(caps) || total.fen < 0 || slices.ContainsFunc(caps, Amount.IsNegative) {
		return nil
	}
	parts := make([]Amount, len(weights))
	left := uint64(total.fen)
	open := slices.Clone(weights) // a part that has been filled has weight zero from then on
	for {
		filledFen, filledWeight := fill(left, open, whole, caps, parts)
		if filledWeight == 0 {
			break
		}
		left -= filledFen
		whole -= filledWeight
	}
	if whole > 0 {
		// Each open part's share is below its cap, a whole number of fen, so the share
		// rounded up is not above it either.
		share(left, open, whole, parts)
		return parts
	}
	for i, weight := range weights {
		if weight.fen == 0 {
			parts[i].fen = int64(min(left, uint64(caps[i].fen)))
			left -= uint64(parts[i].fen)
		}
	}
	return parts
}

// fill gives every open part whose share reaches its cap the whole cap, closes
// it, and returns what those parts took and weighed together. Closing several at
// once is right, because whatever one full part passes on only raises the others.
func fill(total uint64, open []Amount, whole uint64, caps, parts []Amount) (filledFen, filledWeight uint64) {
	for i, weight := range open {
		if weight.fen == 0 {
			continue
		}
		limit := uint64(caps[i].fen)
		shareHi, shareLo := bits.Mul64(total, uint64(weight.fen))
		limitHi, limitLo := bits.Mul64(limit, whole)
		if shareHi < limitHi || (shareHi == limitHi && shareLo < limitLo) {
			continue
		}
		parts[i] = caps[i]
		open[i].fen = 0
		filledFen += limit
		filledWeight += uint64(weight.fen)
	}
	return filledFen, filledWeight
}

// share divides total by largest remainder among the parts of positive weight,
// and leaves the others as they are. The weights add up to whole, above zero
// unless total is zero.
func share(total uint64, weights []Amount, whole uint64, parts []Amount) {
	type remainder struct {
		index int
		value uint64
	}
	var few [8]remainder // an order has a handful of legs: no allocation for those
	remainders := few[:0]
	left := total
	for i, weight := range weights {
		if weight.fen == 0 {
			continue
		}
		hi, lo := bits.Mul64(total, uint64(weight.fen))
		// hi < whole, because weight <= whole and total is below 2^64.
		quotient, rest := bits.Div64(hi, lo, whole)
		parts[i].fen = int64(quotient)
		left -= quotient
		if rest > 0 {
			remainders = append(remainders, remainder{i, rest})
		}
	}
	if left == 0 {
		return
	}
	slices.SortStableFunc(remainders, func(a, b remainder) int { return cmp.Compare(b.value, a.value) })
	for _, r := range remainders[:left] {
		parts[r.index].fen++
	}
}

// sum adds the weights; it reports false when one is negative or the sum does not fit.
func sum(weights []Amount) (whole uint64, ok bool) {
	for _, weight := range weights {
		var carry uint64
		if whole, carry = bits.Add64(whole, uint64(weight.fen), 0); carry != 0 || weight.fen < 0 {
			return 0, false
		}
	}
	return whole, true
}
