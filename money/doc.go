// Package money holds exact amounts of Chinese yuan and the only places where
// money is parsed, split or rounded.
//
// # Overview
//
// An [Amount] is a whole number of fen (1 yuan = 100 fen) in an int64. It enters
// as text through [Parse] or as a database's bigint through [FromFen], and leaves
// as text with exactly two places ("12.30"). A [Rate] is a decimal factor, such
// as a fee or a yield; [Amount.MulRate] applies it and rounds to the fen in the
// mode that the caller names. No business has a rate yet; merchants' fees will.
//
// An Amount is not a decimal inside. As an integer it compares with ==, is a map
// key, costs no allocation, and has one form per value: there is no exponent, no
// trailing zero and no global division precision to depend on. Decimals are used
// where fractions of a fen exist, which is in rates alone.
//
// # Invariants
//
//  1. What Parse accepts, String writes back as the same value, and no two texts
//     that String writes stand for the same value.
//  2. The parts of a split add up to what was split, to the fen.
//  3. No part of a split is a whole fen or more away from its exact share, nor
//     above its cap where caps are given.
//  4. Nothing here reads or writes a floating-point number.
//
// # Range
//
// Parse and JSON accept at most [MaxFen] either way, 100 billion yuan. Sums may
// go beyond: int64 holds the sum of 922,337 amounts of MaxFen. Sums are
// not checked for overflow.
//
// # Failure handling
//
// Text that is not an amount is answered with an [*Error], which carries the
// offending value (cut short, control characters escaped), what is wrong with it
// and what is allowed. The caller adds the field's name. Nothing here panics on
// foreign input, logs, or keeps state; everything may be used from many goroutines.
package money
