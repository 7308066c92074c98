package money

import (
	"fmt"
	"strings"
)

// maxYuanDigits is the number of digits in MaxFen's whole yuan. Longer texts are
// refused before they are read, so the loop over the digits cannot overflow.
const maxYuanDigits = 12

const (
	allowedAmount = `a decimal string in yuan with at most two places, such as "12.30", ` +
		`from -100000000000.00 to 100000000000.00`
	allowedPositive = `a decimal string in yuan with at most two places, such as "12.30", ` +
		`from 0.01 to 100000000000.00`
)

const (
	problemRange    = "is out of range"
	problemNegative = "is negative"
	problemZero     = "is zero"
)

// Parse reads an amount in yuan: an optional minus sign, digits without needless
// leading zeros, and at most two decimal places. Exponents, plus signs, spaces,
// thousands separators and anything beyond [MaxFen] are refused with an [*Error].
// "-0.00" is zero. Parse allocates only to report a refusal.
func Parse(s string) (Amount, error) {
	fen, ok := parseFen(s)
	if !ok {
		return Amount{}, refuse(s, allowedAmount)
	}
	return Amount{fen}, nil
}

// ParsePositive is [Parse] for amounts that must be above zero: a minus sign and
// zero are refused with an [*Error] as well.
func ParsePositive(s string) (Amount, error) {
	fen, ok := parseFen(s)
	switch {
	case !ok:
		return Amount{}, refuse(s, allowedPositive)
	case fen == 0:
		return Amount{}, newError(s, problemZero, allowedPositive)
	case fen < 0:
		return Amount{}, newError(s, problemNegative, allowedPositive)
	}
	return Amount{fen}, nil
}

// parseFen reads the text of an amount, and reports whether it is one. It does
// not say what is wrong: explaining is left to the slow path.
func parseFen[T string | []byte](s T) (int64, bool) {
	i := 0
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		i = 1
	}
	first := i
	if len(s)-first > maxYuanDigits+len(".00") {
		return 0, false
	}
	var fen int64
	for i < len(s) && isDigit(s[i]) {
		fen = fen*10 + int64(s[i]-'0')
		i++
	}
	if i == first || (s[first] == '0' && i > first+1) {
		return 0, false
	}
	switch rest := len(s) - i; {
	case rest == 0:
		fen *= fenPerYuan
	case rest == 2 && s[i] == '.' && isDigit(s[i+1]):
		fen = fen*fenPerYuan + int64(s[i+1]-'0')*10
	case rest == 3 && s[i] == '.' && isDigit(s[i+1]) && isDigit(s[i+2]):
		fen = fen*fenPerYuan + int64(s[i+1]-'0')*10 + int64(s[i+2]-'0')
	default:
		return 0, false
	}
	if fen > MaxFen {
		return 0, false
	}
	if negative {
		fen = -fen
	}
	return fen, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// refuse explains a text that parseFen did not take.
func refuse(s, allowed string) *Error {
	problem := explain(s, 2)
	if problem == "" {
		problem = problemRange
	}
	return newError(s, problem, allowed)
}

// explain says what keeps s from being a plain decimal number of at most the
// given places, or returns "" when it is one.
func explain(s string, places int) string {
	if s == "" {
		return "is empty"
	}
	if problem := explainCharacters(s); problem != "" {
		return problem
	}
	whole, fraction, hasPoint := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	switch {
	case strings.ContainsAny(whole+fraction, "-."), whole == "", hasPoint && fraction == "":
		return "is not a decimal number"
	case len(whole) > 1 && whole[0] == '0':
		return "has a leading zero"
	case len(fraction) > places:
		return fmt.Sprintf("has more than %d decimal places", places)
	}
	return ""
}

// explainCharacters names the first character that has no place in a decimal.
func explainCharacters(s string) string {
	if strings.Trim(s, "0123456789+-.eE") == "" && strings.ContainsAny(s, "eE") &&
		strings.ContainsAny(s, "0123456789") {
		return "is in exponent notation"
	}
	for _, r := range s {
		switch {
		case r == '+':
			return "has a plus sign"
		case r == ' ':
			return "has a space"
		case (r < '0' || r > '9') && r != '-' && r != '.':
			return fmt.Sprintf("has the character %+q, which is not a digit", r)
		}
	}
	return ""
}
